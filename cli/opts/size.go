package opts

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/docker/go-units"
)

// Bytes is a size such as 512m or 2g; a number alone is bytes.
type Bytes int64

// Set parses a size in powers of 1024.
func (b *Bytes) Set(s string) error {
	n, err := units.RAMInBytes(s)
	*b = Bytes(n)
	return err
}

// String is "0" for no size, which pflag takes for "no default to show".
func (b *Bytes) String() string {
	if *b == 0 {
		return "0"
	}
	return units.BytesSize(float64(*b))
}

// Type names the value in help texts.
func (*Bytes) Type() string { return "bytes" }

// SwapBytes is a size, or -1 for no limit.
type SwapBytes struct{ Bytes }

// Set parses a size or -1.
func (b *SwapBytes) Set(s string) error {
	if s == "-1" {
		b.Bytes = -1
		return nil
	}
	return b.Bytes.Set(s)
}

// CPUs is a number of processors such as 1.5, kept in billionths.
type CPUs int64

// Set parses a decimal or a fraction.
func (c *CPUs) Set(s string) error {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return fmt.Errorf("failed to parse %v as a rational number", s)
	}
	nano := r.Mul(r, big.NewRat(1e9, 1))
	if !nano.IsInt() {
		return errors.New("value is too precise")
	}
	if !nano.Num().IsInt64() {
		return errors.New("value is out of range")
	}
	*c = CPUs(nano.Num().Int64())
	return nil
}

// String is empty for no limit.
func (c *CPUs) String() string {
	if *c == 0 {
		return ""
	}
	return big.NewRat(int64(*c), 1e9).FloatString(3)
}

// Type names the value in help texts.
func (*CPUs) Type() string { return "decimal" }
