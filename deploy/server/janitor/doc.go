// Package janitor maintains the log from outside. Before a process accepts anything, it checks that the
// log still holds what it acknowledged (L5). It computes how much of the log may be trimmed (L6). It
// tells a running process of the epochs that other processes begin.
package janitor
