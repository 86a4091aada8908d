// Package e2e tests the program from outside, as its users and attackers use it: with text
// scripts that read like documentation, with kill -9 under load, with hostile requests, and
// with other tools that read the lake.
package e2e
