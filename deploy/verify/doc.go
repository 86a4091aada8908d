// Package verify checks the protocol's promises V1 to V13. It reads what a recount has stored, from
// outside. For every broken promise it reports what is wrong, where it is, and what to do.
//
// # Independence
//
// A checker that runs the code it checks repeats that code's mistakes. So the package computes the
// decisive facts in its own way. It reads commit chains without landing.LoadChain, which stops at the
// first broken record: here one broken record must not hide the others. It looks for acknowledged ids in
// the events themselves, not in counts. It computes recorded answers event by event.
//
// Rows of publications are the exception. B1 says that a recomputation gives the same rows bit for bit.
// So V6 recomputes them with batch/exact from the objects, whose bytes V2 has compared. It then compares
// three witnesses: publication, recomputation, and the rows in ClickHouse.
//
// # What is checked
//
//	V1  Every commit record that exists, in the order of keys: its digest, that it is the record its key names, and
//	    that it follows the previous record by range and by hash. After a broken record the check continues.
//	V2  Every object that a record names: size, SHA-256, that it can be read, and that its rows have the buckets and
//	    the tenants that its record states. Retired objects (record.Retired) may be missing.
//	V3  Every acknowledged event of the client: it is in the lake or in the log, and counts once.
//	V4  Every stored event of the client's runs: it was acknowledged, or its outcome is unknown to the client.
//	V5  Every publication: its number, its hash chain, and its H, which never goes back and is on a boundary of the
//	    record that the publication names. Nothing else names a later publication: ClickHouse's projection,
//	    the runs of the job recompute, a running server.
//	V6  The rows of each kept publication in ClickHouse, by count and checksum, and a recomputation of its buckets. Of
//	    an older kept publication, only the buckets that differ from the newest are recomputed.
//	V7  Every recorded answer, computed from the events of [0, S) in the order of their positions.
//	V8  Package conservation over what was read here; the sums over tenants in commit records; the duplicates by
//	    bucket and, for the newest publication, its ledger by tenant and partition, against the recomputation.
//	V9  Every version that a kept publication names has rows; every pin has its publication; no message is trimmed
//	    before it has landed.
//	V10 Every position of a segment has one event, and the log has the same event there as far as it goes back; an
//	    event has the identity that its id gives, and is in its partition; no unnamed object repeats events.
//	V11 Every seal and publication, the log and ClickHouse name the installation of the object store, and the log is
//	    the one that the chains follow.
//	V12 What a start would refuse, and the epochs that it would seal: the caller runs the checks of a start.
//	V13 Every generation of the catalog: its number, its hash chain, and that it is valid.
//
// Where commit records are missing, nobody can say what should be stored. V1 then names the record, and the checks
// that would only repeat this (V5, V6, V8) are reported as not checked.
//
// # Memory
//
// Segments are read one after the other, and copies by classes of keys. So the memory of most checks does not grow
// with the events. The exceptions: V6 needs batch.memory, or one bucket. V3 needs 4.4 bytes for each event that the
// client names. V7 holds the values that the recorded queries count distinctly.
//
// # Reading only
//
// Nothing here writes. The caller opens the evidence: offline from engines that are opened for reading
// only, or in a running server from its live engines. A running server changes its data meanwhile. So
// publications are read before chains and chains before the log: what an older one refers to is then in
// the newer ones. A missing version counts only while its publication is still kept.
package verify
