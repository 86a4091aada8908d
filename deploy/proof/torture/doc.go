// Command torture shows that recount loses no event and counts none twice: it breaks the real
// program in many ways while a client counts along.
//
// It builds the server with its failpoints (schemas/failpoint) and plays rounds until its time
// is over. Each round has a world of its own: one or more servers, over engines inside them or
// over shared engines that they reach through fault proxies, and a client. The client sends each request with
// the same ids until it is acknowledged. At the end of a round the faults end; every server
// must then answer exactly what was acknowledged, and recount verify checks all files.
//
//	kills      kill -9 at failpoints and at random moments
//	lost log   the log is removed from a stopped server, which is killed while it seals the epoch (L5)
//	network    an engine's connections are slow, stall, are reset or half-open, or the engine is killed
//	zombies    one of two servers over the same engines is stopped while the other does its work
//	pause      the only server is stopped for longer than any timeout
//	disk       the volumes of the log, the lake, ClickHouse and the snapshots are full for some seconds
//	clock      the clock jumps by hours and days, forwards and backwards, and over the end of a bucket
//	flips      bits flip on the way to and from the engines
//	trimmed    one of two servers is stopped until the log is trimmed past all it had read
//	split      each role has its own processes, which are killed in turn while connections break;
//	           then one is stopped until the log is trimmed past all it had read
//	cluster    the log has three servers with three copies, which are killed one at a time
//
// All random choices are drawn from one seed. The moments at which the machine runs a process
// are not, so a seed repeats the same faults, but not at the same instants.
package main
