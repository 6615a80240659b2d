package driver

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// JSONFile writes Docker's json-file format: one object a line, with log,
// stream, attrs and time. Files are rotated as Docker rotates them: NAME,
// NAME.1, NAME.2 (.gz)…
type JSONFile struct {
	path     string
	maxSize  int64 // 0: no limit
	maxFiles int
	compress bool
	attrs    []byte // `"attrs":{…},` or empty

	f    *os.File
	size int64
	buf  []byte
}

// checkLocal checks the options of the engine's own log.
func checkLocal(options map[string]string) error {
	if _, _, err := jsonLimits(options); err != nil {
		return err
	}
	_, err := flag(options, "compress")
	return err
}

func checkJSONFile(options map[string]string) error {
	size, files, err := jsonLimits(options)
	if err != nil {
		return err
	}
	compress, err := flag(options, "compress")
	if err != nil {
		return err
	}
	if compress && (files < 2 || size == 0) {
		return bad("compress cannot be true when max-file is less than 2 or max-size is not set")
	}
	return nil
}

func jsonLimits(options map[string]string) (size int64, files int, err error) {
	if v := options["max-size"]; v != "" && v != "-1" {
		if size, err = units.FromHumanSize(v); err != nil || size <= 0 {
			return 0, 0, bad("max-size must be a positive number: %q", v)
		}
	}
	files = 1
	if v := options["max-file"]; v != "" {
		if files, err = strconv.Atoi(v); err != nil || files < 1 {
			return 0, 0, bad("max-file cannot be less than 1")
		}
	}
	return size, files, nil
}

// JSONPath is the file that json-file writes for container id in dir.
func JSONPath(dir, id string) string { return filepath.Join(dir, id+"-json.log") }

// OpenJSONFile opens the container's file behind what is there. With size, the
// file is cut to that many bytes first: what an earlier writer had noted as
// written.
func OpenJSONFile(i *Info, size *int64) (*JSONFile, error) {
	j := &JSONFile{path: JSONPath(i.Dir, i.ID)}
	var err error
	if j.maxSize, j.maxFiles, err = jsonLimits(i.Options); err != nil {
		return nil, err
	}
	if j.compress, err = flag(i.Options, "compress"); err != nil {
		return nil, err
	}
	attrs, err := Attrs(i)
	if err != nil {
		return nil, err
	}
	if len(attrs) > 0 {
		j.attrs = append(appendMap([]byte(`"attrs":`), attrs), ',')
	}
	if err := j.open(); err != nil {
		return nil, err
	}
	if size != nil && *size < j.size {
		if err := j.f.Truncate(*size); err != nil {
			return nil, errors.Join(err, j.f.Close())
		}
		j.size = *size
	}
	return j, nil
}

func (j *JSONFile) open() error {
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.f, j.size = f, info.Size()
	return nil
}

// Size is how many bytes the current file has.
func (j *JSONFile) Size() int64 { return j.size }

// Write appends one line. After an error the file ends where it did before.
func (j *JSONFile) Write(m *Message) error {
	b := append(j.buf[:0], `{"log":`...)
	text := m.Text
	b = appendString(b, text, !m.continues())
	b = append(b, `,"stream":"`...)
	b = append(b, m.source()...)
	b = append(b, `",`...)
	b = append(b, j.attrs...)
	b = append(b, `"time":"`...)
	b = m.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, "\"}\n"...)
	j.buf = b
	if j.maxSize > 0 && j.size > 0 && j.size+int64(len(b)) > j.maxSize {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	if _, err := j.f.Write(b); err != nil {
		return errors.Join(err, j.f.Truncate(j.size))
	}
	j.size += int64(len(b))
	return nil
}

// rotate makes NAME into NAME.1, and so on; the last one goes.
func (j *JSONFile) rotate() error {
	if err := j.f.Close(); err != nil {
		return err
	}
	suffix := ""
	if j.compress {
		suffix = ".gz"
	}
	name := func(n int) string { return fmt.Sprintf("%s.%d%s", j.path, n, suffix) }
	for n := j.maxFiles - 1; n > 1; n-- {
		if err := os.Rename(name(n-1), name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, j.open())
		}
	}
	var err error
	switch {
	case j.maxFiles < 2:
		err = os.Truncate(j.path, 0)
	case j.compress:
		err = zip(j.path, name(1))
	default:
		err = os.Rename(j.path, name(1))
	}
	return errors.Join(err, j.open())
}

// zip makes a compressed copy and empties the original.
func zip(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(to+".tmp"))
	}
	return errors.Join(os.Rename(to+".tmp", to), os.Truncate(from, 0))
}

// Close ends the writer; the files stay.
func (j *JSONFile) Close() error { return j.f.Close() }

func appendMap(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, []byte(k), false)
		b = append(b, ':')
		b = appendString(b, []byte(m[k]), false)
	}
	return append(b, '}')
}

const hex = "0123456789abcdef"

// appendString appends text as a JSON string, with a newline behind it if that
// is asked for. Bytes that are no UTF-8 become U+FFFD, and what could end a
// script in a page is escaped, as Docker's encoder does.
func appendString(b, text []byte, newline bool) []byte {
	b = append(b, '"')
	for len(text) > 0 {
		c := text[0]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text)
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(b, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				b = append(b, `\u202`...)
				b = append(b, hex[r&0xf])
			default:
				b = append(b, text[:n]...)
			}
			text = text[n:]
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == '<' || c == '>' || c == '&':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			b = append(b, c)
		}
		text = text[1:]
	}
	if newline {
		b = append(b, '\\', 'n')
	}
	return append(b, '"')
}
