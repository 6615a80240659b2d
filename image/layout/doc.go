// Package layout reads and writes images as tar streams in the OCI image layout
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md),
// with the manifest.json beside it by which Docker reads them; it also reads
// streams that have manifest.json alone.
//
// A stream is not trusted: blobs are known by their content, not by their file's
// name, and the number of files is bounded.
package layout
