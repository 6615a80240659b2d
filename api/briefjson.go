package api

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// Package encoding/json takes most of the time of a list of thousands, on both
// sides. What follows is the same JSON, without reflection.

// AppendJSON appends b as JSON, as encoding/json writes it without escaping HTML.
func (b *ContainerBrief) AppendJSON(out []byte) []byte {
	out = appendText(append(out, `{"Id":`...), b.ID)
	out = append(out, `,"Names":`...)
	if b.Names == nil {
		out = append(out, "null"...)
	} else {
		out = append(out, '[')
		for i, n := range b.Names {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendText(out, n)
		}
		out = append(out, ']')
	}
	out = appendText(append(out, `,"Image":`...), b.Image)
	if b.ImageID != "" {
		out = appendText(append(out, `,"ImageID":`...), b.ImageID)
	}
	out = appendText(append(out, `,"Command":`...), b.Command)
	out = strconv.AppendInt(append(out, `,"Created":`...), b.Created, 10)
	for i, p := range b.Ports {
		out = appendPort(append(out, ports[min(i, 1)]...), p)
	}
	if len(b.Ports) > 0 {
		out = append(out, ']')
	}
	if b.SizeRw != 0 {
		out = strconv.AppendInt(append(out, `,"SizeRw":`...), b.SizeRw, 10)
	}
	if b.SizeRootFs != 0 {
		out = strconv.AppendInt(append(out, `,"SizeRootFs":`...), b.SizeRootFs, 10)
	}
	out = appendText(append(out, `,"State":`...), string(b.State))
	return append(appendText(append(out, `,"Status":`...), b.Status), '}')
}

// ports is what comes before the first port, and before others.
var ports = [2]string{`,"Ports":[`, `,`}

func appendPort(out []byte, p container.PortSummary) []byte {
	out = append(out, `{"IP":"`...)
	if p.IP.IsValid() {
		out = p.IP.AppendTo(out)
	}
	out = strconv.AppendUint(append(out, `","PrivatePort":`...), uint64(p.PrivatePort), 10)
	if p.PublicPort != 0 {
		out = strconv.AppendUint(append(out, `,"PublicPort":`...), uint64(p.PublicPort), 10)
	}
	return append(appendText(append(out, `,"Type":`...), p.Type), '}')
}

// appendText appends a JSON string.
func appendText(out []byte, s string) []byte {
	if plainText(s) {
		return append(append(append(out, '"'), s...), '"')
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can be encoded
	return append(out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// plainText tells whether a string is the same in JSON.
func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// ReadJSON reads what AppendJSON has written. Other JSON is read as well, as
// encoding/json would.
func (b *ContainerBrief) ReadJSON(text []byte) error {
	r := briefReader{rest: string(text)}
	if read, ok := r.row(); ok && r.rest == "" {
		*b = read
		return nil
	}
	*b = ContainerBrief{}
	return json.Unmarshal(text, b)
}

// briefReader reads the form of AppendJSON from the beginning of rest; bad: it is
// another.
type briefReader struct {
	rest string
	bad  bool
}

func (r *briefReader) row() (b ContainerBrief, ok bool) {
	r.need(`{"Id":`)
	b.ID = r.text()
	r.need(`,"Names":[`)
	b.Names = []string{r.text()}
	for r.has(",") {
		b.Names = append(b.Names, r.text())
	}
	r.need(`],"Image":`)
	b.Image = r.text()
	if r.has(`,"ImageID":`) {
		b.ImageID = r.text()
	}
	r.need(`,"Command":`)
	b.Command = r.text()
	r.need(`,"Created":`)
	b.Created = r.number(64)
	for i := 0; r.has(ports[min(i, 1)]); i++ {
		b.Ports = append(b.Ports, r.port())
	}
	if len(b.Ports) > 0 {
		r.need("]")
	}
	if r.has(`,"SizeRw":`) {
		b.SizeRw = r.number(64)
	}
	if r.has(`,"SizeRootFs":`) {
		b.SizeRootFs = r.number(64)
	}
	r.need(`,"State":`)
	b.State = container.ContainerState(r.text())
	r.need(`,"Status":`)
	b.Status = r.text()
	r.need("}")
	return b, !r.bad
}

func (r *briefReader) port() (p container.PortSummary) {
	r.need(`{"IP":`)
	if text := r.text(); text != "" {
		ip, err := netip.ParseAddr(text)
		p.IP, r.bad = ip, r.bad || err != nil
	}
	r.need(`,"PrivatePort":`)
	p.PrivatePort = uint16(r.number(16))
	if r.has(`,"PublicPort":`) {
		p.PublicPort = uint16(r.number(16))
	}
	r.need(`,"Type":`)
	p.Type = r.text()
	r.need("}")
	return p
}

// has takes a word off, if it is there.
func (r *briefReader) has(word string) (is bool) {
	if !r.bad {
		r.rest, is = strings.CutPrefix(r.rest, word)
	}
	return is
}

func (r *briefReader) need(word string) { r.bad = !r.has(word) }

// text takes a string off in which nothing is escaped.
func (r *briefReader) text() string {
	r.need(`"`)
	s, rest, ok := strings.Cut(r.rest, `"`)
	if r.bad = r.bad || !ok || !plainText(s); r.bad {
		return ""
	}
	r.rest = rest
	return s
}

// number takes a whole number off that fits into so many bits: signed where they
// are 64.
func (r *briefReader) number(bits int) int64 {
	n := 0
	for n < len(r.rest) && (r.rest[n] >= '0' && r.rest[n] <= '9' || n == 0 && bits == 64 && r.rest[n] == '-') {
		n++
	}
	v, err := strconv.ParseInt(r.rest[:n], 10, 64)
	digits := strings.TrimPrefix(r.rest[:n], "-")
	if r.bad = r.bad || err != nil || len(digits) > 1 && digits[0] == '0' || bits == 16 && v > 0xffff; r.bad {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}
