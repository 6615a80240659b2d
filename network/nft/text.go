package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/network/cover"
)

// Text is the table as it is in the kernel, in the language of nft(8): what
// `nft list table` would print, and `nft -f` would read. A chain that is not as
// Replace made it has a comment that says so.
func (t *ruleset) Text() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there, err := t.there()
	if err != nil || !there {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", word(t.table.Family), t.table.Name)
	for _, set := range t.all {
		elements, err := t.elements(set)
		if err != nil {
			return "", err
		}
		writeSet(&b, set, elements)
	}
	for _, c := range t.order {
		rules, err := t.conn.GetRules(t.table, &nftables.Chain{Name: c.name, Table: t.table})
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return "", fmt.Errorf("nftables: read chain %s: %w", c.name, err)
		}
		fmt.Fprintf(&b, "\tchain %s {\n", c.name)
		if c.hook != "" {
			fmt.Fprintf(&b, "\t\t%s\n", c.hook)
		}
		if len(rules) != len(t.rules[c.name]) {
			fmt.Fprintf(&b, "\t\t# somebody changed this chain: it has %d rules; it is about to be put right\n", len(rules))
		}
		for _, text := range t.rules[c.name] {
			fmt.Fprintf(&b, "\t\t%s\n", text)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String(), nil
}

func word(f nftables.TableFamily) string {
	if f == nftables.TableFamilyBridge {
		return "bridge"
	}
	return "inet"
}

func writeSet(b *strings.Builder, set *nftables.Set, elements []nftables.SetElement) {
	word, of := "set", set.KeyType.Name
	if set.IsMap {
		word, of = "map", of+" : "+set.DataType.Name
	}
	fmt.Fprintf(b, "\t%s %s {\n\t\ttype %s\n", word, set.Name, of)
	if set.Interval {
		b.WriteString("\t\tflags interval\n")
	}
	if lines := elementTexts(set, elements); len(lines) > 0 {
		fmt.Fprintf(b, "\t\telements = { %s }\n", strings.Join(lines, ",\n\t\t\t     "))
	}
	b.WriteString("\t}\n\n")
}

// elementTexts lists a set's elements in a fixed order.
func elementTexts(set *nftables.Set, elements []nftables.SetElement) []string {
	elements = slices.Clone(elements)
	slices.SortFunc(elements, func(a, b nftables.SetElement) int {
		if c := bytes.Compare(a.Key, b.Key); c != 0 || a.IntervalEnd == b.IntervalEnd {
			return c
		}
		if a.IntervalEnd { // the end of one network is before the start of the next
			return -1
		}
		return 1
	})
	var out []string
	for i, e := range elements {
		if e.IntervalEnd {
			continue
		}
		end := e.KeyEnd
		if set.Interval && !set.Concatenation && i+1 < len(elements) {
			end = before(elements[i+1].Key)
		}
		text := keyText(set.KeyType, e.Key, end)
		switch {
		case set.IsMap && e.VerdictData != nil:
			text += " : " + verdictText(e.VerdictData)
		case set.IsMap && set.DataType.Name == nftables.TypeVerdict.Name:
			text += " : " + rawVerdict(e.Val)
		case set.IsMap:
			text += " : " + keyText(set.DataType, e.Val, nil)
		}
		out = append(out, text)
	}
	return out
}

// before is the last key of an interval that ends at key.
func before(key []byte) []byte {
	a, ok := netip.AddrFromSlice(key)
	if !ok {
		return nil
	}
	return a.Prev().AsSlice()
}

func verdictText(v *expr.Verdict) string {
	if v.Kind == expr.VerdictGoto {
		return "goto " + v.Chain
	}
	return "accept"
}

// rawVerdict reads NFTA_DATA_VERDICT: attributes with the code and the chain.
func rawVerdict(raw []byte) string {
	d, err := netlink.NewAttributeDecoder(raw)
	if err != nil {
		return "?"
	}
	for d.Next() {
		if d.Type() == unix.NFTA_VERDICT_CHAIN {
			return "goto " + d.String()
		}
	}
	return "accept"
}

// keyText writes a key of one or more parts; with an end, those that differ are
// written as networks or ranges.
func keyText(kind nftables.SetDatatype, key, end []byte) string {
	var parts []string
	for _, t := range nftables.ConcatSetTypeElements(kind) {
		n := int(t.Bytes+3) &^ 3
		if len(key) < n {
			return "?"
		}
		text := partText(t.Name, key[:t.Bytes])
		if len(end) >= n && !bytes.Equal(key[:n], end[:n]) {
			text = rangeText(t.Name, key[:t.Bytes], end[:t.Bytes])
		}
		parts = append(parts, text)
		key = key[n:]
		if len(end) >= n {
			end = end[n:]
		}
	}
	return strings.Join(parts, " . ")
}

func partText(kind string, b []byte) string {
	switch kind {
	case nftables.TypeIFName.Name:
		return fmt.Sprintf("%q", bytes.TrimRight(b, "\x00"))
	case nftables.TypeInetProto.Name:
		for name, n := range protocols {
			if n == b[0] {
				return name
			}
		}
		return fmt.Sprint(b[0])
	case nftables.TypeInetService.Name:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	case nftables.TypeMark.Name:
		return fmt.Sprintf("0x%08x", binary.BigEndian.Uint32(b)) // of our intervals
	case nftables.TypeDevGroup.Name:
		return fmt.Sprint(binary.NativeEndian.Uint32(b))
	}
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

func rangeText(kind string, from, to []byte) string {
	if a, ok := netip.AddrFromSlice(from); ok && kind != nftables.TypeInetService.Name {
		for bits := range a.BitLen() {
			if p := netip.PrefixFrom(a, bits); p.Masked().Addr() == a {
				if _, last := cover.Bounds(p); bytes.Equal(last.AsSlice(), to) {
					return p.String()
				}
			}
		}
	}
	return partText(kind, from) + "-" + partText(kind, to)
}
