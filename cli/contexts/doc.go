// Package contexts keeps named daemons: where each is, and the certificates to
// reach it. The directory and its files are those of Docker's command line, so
// that contexts made by either serve both; endpoints of other kinds and unknown
// metadata are kept as they are.
//
//	DIR/contexts/meta/ID/meta.json
//	DIR/contexts/tls/ID/docker/{ca,cert,key}.pem
//
// where ID is the SHA-256 of the context's name in hexadecimal.
package contexts
