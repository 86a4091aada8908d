// Package janitor looks after the log from outside: whether it still holds what it
// acknowledged, before anything is accepted (L5), how much of it may go (L6), and what a running process
// must learn of the epochs that others begin.
package janitor
