package opts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckEnv completes a bare NAME from the environment; a NAME that is not set
// there stays bare, which removes the variable in the container.
func CheckEnv(s string) (string, error) {
	k, _, hasValue := strings.Cut(s, "=")
	if k == "" {
		return "", errors.New("invalid environment variable: " + s)
	}
	if v, ok := os.LookupEnv(k); !hasValue && ok {
		return k + "=" + v, nil
	}
	return s, nil
}

// EnvFiles reads --env-file files. A line with a bare NAME takes the value
// from the environment and is dropped if there is none.
func EnvFiles(files []string) ([]string, error) { return pairFiles(files, os.LookupEnv) }

// LabelFiles reads --label-file files.
func LabelFiles(files []string) ([]string, error) { return pairFiles(files, nil) }

func pairFiles(files []string, lookup func(string) (string, bool)) ([]string, error) {
	var out []string
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		pairs, err := ReadPairs(f, lookup)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("invalid env file (%s): %w", name, err)
		}
		out = append(out, pairs...)
	}
	return out, nil
}

// ReadPairs reads KEY=VALUE lines; empty lines and lines that start with #
// are skipped, everything after the first "=" is the value as it stands.
func ReadPairs(r io.Reader, lookup func(string) (string, bool)) ([]string, error) {
	var out []string
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		b := sc.Bytes()
		if !utf8.Valid(b) {
			return nil, fmt.Errorf("invalid utf8 bytes at line %d: %v", n, b)
		}
		if n == 1 {
			b = bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF"))
		}
		line := strings.TrimLeftFunc(string(b), unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, hasValue := strings.Cut(line, "=")
		switch {
		case key == "":
			return nil, fmt.Errorf("no variable name on line '%s'", line)
		case strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("variable '%s' contains whitespaces", key)
		case hasValue:
			out = append(out, line)
		case lookup != nil:
			if v, ok := lookup(key); ok {
				out = append(out, key+"="+v)
			}
		}
	}
	return out, sc.Err()
}
