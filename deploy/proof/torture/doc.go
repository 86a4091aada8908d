// Command torture proves that recount loses nothing and counts nothing twice, by breaking
// the real program in every way it can while a client counts along.
//
// It builds the server with its failpoints (schemas/failpoint) and plays rounds until its time
// is over. Each round has a world of its own: one or two servers, with engines inside them
// or over shared ones behind fault proxies, and a client that sends everything with the
// same ids until it is acknowledged. At the end of a round all is healed, every server
// must answer exactly what was acknowledged, and the program's own checker looks at
// everything on the disk.
//
//	kills      kill -9 at failpoints and at random moments
//	lost log   the log is removed from a stopped server, which is killed while it seals (L5)
//	network    an engine's connections are slow, stall, are reset or half open, or it is killed
//	zombies    of two servers over the same engines one is stopped while the other does its work
//	pause      a lone server is stopped for longer than any timeout
//	disk       volumes of the log, the lake, ClickHouse and the snapshots are full for a while
//	clock      the clock jumps by hours and days, there and back, and over the edge of a bucket
//	flips      bits flip on the way to and from the engines
//	trimmed    one of two servers is stopped until the log is trimmed past what it had read
//	split      each role has processes of its own, which are killed in turn while connections break;
//	           then one is stopped until the log is trimmed past what it had read
//	cluster    the log has three servers and as many copies, of which one at a time is killed
//
// Everything drawn comes from one seed. Moments that the machine decides do not, so a
// seed repeats the same faults, not the same instants.
package main
