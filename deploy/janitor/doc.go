// Package janitor looks after the log from outside: whether it still holds what it
// acknowledged, before anything is accepted (L5), and how much of it may go (L6).
package janitor
