// Package deflate compresses as zlib and GNU gzip do, to the bit: other programs
// have packed most layers of the world, and who has their files and knows the
// program has the layer (package remake). It is their algorithm, by Jean-loup Gailly
// and Mark Adler, with what their outputs depend on: how matches are looked for and
// when a block ends. Both have not changed since 1993 and 1995; what forks of zlib
// (zlib-ng, Cloudflare's, Intel's) write is something else.
package deflate
