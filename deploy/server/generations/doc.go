// Package generations follows and extends the chain of generations of the catalog: create-only records in the object
// store, each with all event types and views (G1). It also compares a configuration file with a generation (G2).
//
// A process that loses the race for a key reads the winner and tries its change on that. So a change is always one of
// the newest generation, and of two changes at once both are made, or one is refused for what the other did.
package generations
