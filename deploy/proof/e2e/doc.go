// Package e2e tests the program from outside, as its users and its enemies use it:
// text scripts that read like documentation, kill -9 under load, and other
// tools that read the lake.
package e2e
