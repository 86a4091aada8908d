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
//	reader-credentials         a key pair for other programs, which may read only
//	format                     {"format":2}, and a newline
//	tmp/                       unfinished writes and upload parts; emptied at start
//	objects/NAME/a/b/c.json    the object a/b/c.json of bucket NAME: its bytes and nothing else
//	metadata/NAME/a/b/c.json   what the bytes of that object do not say; most objects have no such file
//	buckets/                   where programs look that know format 1 only; holds the tombstone (below)
//	carry-over                 plan of a change from format 1, while it is not done
//
// So any program reads the objects where they are. It may read while a server has the directory open, because a
// file is never changed after it has its name. It must not write there.
//
// # Names
//
// A key is a path of segments, and each is a name on disk. Bytes other than a-z, 0-9 and -_.=+,@ are written
// %XX, and so is a dot at the begin. Upper-case letters are among them: keys stay distinct on file systems that
// fold case. The keys of recount have none, but where an event type does.
//
// The keys "a" and "a/b" can both exist, so a file may not have the name of a folder. A segment is a file by nature if
// it has an extension (a dot, then one to seven of a-z and 0-9 with a letter among them) and no "=". Otherwise it is a
// folder by nature. A name that is used against its nature ends in %, which no escaped segment does: the key "a" is the
// file a%, and the folder of "a.json/b" is a.json%. An empty segment is %- as a folder and %_ as a file.
//
// A name longer than 255 bytes does not fit into a file system. Such a segment is packed: ~ and its bytes in base32
// with the digits 0-9 and a-v. A "=" among its first 16 bytes, and what precedes it, stay before the ~, so that the
// folders of all event types match type=*. A packed name tells the key, as every other does.
//
// A segment whose packed name is too long also is refused; it has more than 145 bytes. So are keys of more than 1,024
// bytes, keys that are not UTF-8, and those with control characters.
//
// # Metadata
//
// The ETag is the MD5 of the body, and Last-Modified is the time of the file. Headers that the client gave (content
// type, user metadata, checksums) are in the file below metadata/ that has the path of the object: JSON, and its digest
// on a second line (package record).
//
//	{"versions":[{"size":…,"modified":nanoseconds since 1970,"md5":hex,"headers":{…}}]}
//
// It is written before the object, and keeps the version that is being replaced as a second one. A reader takes the
// version that has the size and the time of the file, so body and headers change in one step. Where no time fits,
// because a copy of the directory has other times, it takes the one that has the body's MD5.
//
// A body of at most 16 KiB without such headers has no metadata file: its MD5 costs as much as reading one. A larger
// one has it to save the MD5, so that file is not fsynced, and is written again whenever it is missing. Headers
// that are lost with their file are lost, and the content type is application/octet-stream then. All else is made
// again from the body.
//
// One file for both would leave no Parquet file that other programs read (it was format 1: the metadata followed the
// body). Extended attributes fail on some file systems and get lost in copies.
//
// # Format 1
//
// Programs before format 2 kept buckets/NAME/a/b/c%, with metadata after the body (first.go). The first
// start carries such a directory over (carryover.go); a read-only server reads it as it is. A program that knows
// format 1 only must not take the directory for an empty one. So buckets/ holds one object of format 1, the
// tombstone: the record with which such a program begins, saying that it requires a later version.
//
// # Invariants
//
//	E1  A name below objects/ always holds a whole object: files are written in tmp/,
//	    fsynced, and renamed into place.
//	E2  A write is answered only after its folder, and every folder made for it, is fsynced.
//	E3  The conditions of a write are checked under the lock of its key, which is held until
//	    the folder is fsynced. Reads take the same lock shared, so no reader acts on a record
//	    that a power failure could still take back.
//	E4  After a failed fsync of a folder its state is unknown, so the server refuses every
//	    request until it is restarted.
//	E5  Uploads belong to the process. A restart forgets them and sweeps their parts.
package s3server
