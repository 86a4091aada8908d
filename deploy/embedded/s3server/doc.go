// Package s3server is a real S3 server in the process, over a directory: the
// default object store, used when the configuration names none.
//
// gofakes3 speaks the protocol and checks signatures; the disk backend below it
// is ours, because the lake needs three things its own backends do not have:
// an acknowledged write survives a power failure, create-only writes are atomic
// (C5, C9), and multipart uploads never pass through memory.
//
// # Layout of the directory
//
//	lock                       held with flock while a server has the directory open
//	credentials                access and secret key as JSON, mode 0600, made once
//	tmp/                       unfinished writes and upload parts; emptied at start
//	buckets/NAME/a/b/c%        the object a/b/c of bucket NAME
//
// A key is a path of escaped segments. The last one carries a trailing %, which no
// escaped segment ends with, so that the keys "a" and "a/b" can both exist. Upper-case
// letters are escaped too: keys stay distinct on file systems that fold case.
//
// # Format of an object file
//
//	body       the object's bytes
//	metadata   JSON: {"key", "md5" (hex, of the body), "meta" (response headers)}
//	footer     24 bytes, little endian:
//	             0  uint64  length of body
//	             8  uint32  length of metadata
//	            12  uint32  CRC-32C of metadata followed by footer bytes 0 to 11
//	            16  8 bytes magic "recount\x01"
//
// Body and metadata are one file because one rename then makes both visible. Extended
// attributes would leave the body bare but fail on some file systems; a side file
// needs a second commit point.
//
// # Invariants
//
//	E1  A name below buckets/ always holds a whole object: files are written in tmp/,
//	    fsynced, and renamed into place.
//	E2  A write is answered only after its folder, and every folder made for it, is fsynced.
//	E3  The conditions of a write are checked under the lock of its key, which is held until
//	    the folder is fsynced. Reads take the same lock shared, so no reader acts on a record
//	    that a power failure could still take back.
//	E4  After a failed fsync of a folder its state is unknown, so the server refuses every
//	    request until it is restarted.
//	E5  Uploads belong to the process. A restart forgets them and sweeps their parts.
package s3server
