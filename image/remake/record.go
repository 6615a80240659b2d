package remake

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/vbatts/tar-split/tar/storage"
)

// Version names what the compressors here write. It changes when one is added, so
// that layers which could not be remade before are tried again.
const Version = "2"

// Header is what a record says of its blob.
type Header struct {
	Version string        `json:"version"`
	Digest  digest.Digest `json:"digest"` // of the blob
	Size    int64         `json:"size"`   // of the blob, in bytes
	Dir     string        `json:"dir"`    // with the files, as the caller names it
	Recipe  Recipe        `json:"recipe"`
}

// Record is all that is needed to remake a blob, but for the files.
type Record struct {
	Header
	entries []byte // tar-split's, compressed
}

// maxHeader bounds the first line of a record.
const maxHeader = 64 << 10

// WriteTo writes the record: its header as a line of JSON, then the entries.
func (r *Record) WriteTo(w io.Writer) (int64, error) {
	head, err := json.Marshal(r.Header)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(head, '\n'))
	if err != nil {
		return int64(n), err
	}
	m, err := w.Write(r.entries)
	return int64(n + m), err
}

// Len is how many bytes WriteTo writes.
func (r *Record) Len() int64 {
	head, err := json.Marshal(r.Header)
	if err != nil {
		return 0 // it has only strings and numbers
	}
	return int64(len(head) + 1 + len(r.entries))
}

// ReadHeader reads the header of a record; what comes after it can be read from
// the result.
func ReadHeader(r io.Reader) (h Header, rest *bufio.Reader, err error) {
	rest = bufio.NewReaderSize(r, maxHeader)
	line, err := rest.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, fmt.Errorf("record of a layer: %w", err)
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, nil, fmt.Errorf("record of a layer: %w", err)
	}
	return h, rest, nil
}

// unpacker reads the entries of a record.
func unpacker(r io.Reader) (storage.Unpacker, func(), error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, nil, err
	}
	return storage.NewJSONUnpacker(z), z.Close, nil
}
