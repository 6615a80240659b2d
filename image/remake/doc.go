// Package remake makes the blob of a layer again, byte for byte, from the files
// that it was unpacked to and a small record of what is lost in unpacking: the
// order and headers of the tar (in the form of tar-split, as Docker's overlay2
// keeps it) and how the tar was compressed.
//
// Make proves that before it returns a record: the whole blob is made from the
// record and compared with the original. A layer of a compressor that is not
// known here cannot be remade. What the compressors write must therefore never
// change, see docs/contracts/remake.md.
package remake
