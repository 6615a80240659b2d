// Package seal keeps secrets that the Hub must be able to use again (signing
// secrets of webhooks, passwords of upstream registries, secrets of second
// factors) encrypted in its database: whoever reads a backup of it reads no
// secret. The key is a file beside the database, or wherever the administrator
// puts it; several nodes of one Hub share it. AES-256-GCM; what a value is for is bound to it, so that a
// sealed value moved to another row does not open.
//
// The file has one key a line. The first seals; those below it, from before a
// rotation, only open. Who has the file loaded reads it again when it changed.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// Key seals and opens. It is safe for concurrent use.
type Key struct {
	path string // "": it is no file's

	mu   sync.Mutex
	read time.Time     // the file's time of change when it was read
	all  []cipher.AEAD // the first seals
}

const (
	keySize = 32
	version = "v1."
)

// Load reads the keys from a file, each base64 in one line. A file that is
// missing is made, for its owner alone, and is on the disk before it is used.
func Load(path string) (*Key, error) {
	k := &Key{path: path}
	err := k.load()
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(path); err == nil {
			err = k.load()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the key that seals secrets: %w", err)
	}
	return k, nil
}

// New makes a Key of its bytes.
func New(raw [keySize]byte) (*Key, error) {
	aead, err := open(raw[:])
	if err != nil {
		return nil, err
	}
	return &Key{all: []cipher.AEAD{aead}}, nil
}

func open(raw []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// load reads the file, if it is not the one that was read already.
func (k *Key) load() error {
	info, err := os.Stat(k.path)
	if err != nil || info.ModTime().Equal(k.read) {
		return err
	}
	lines, err := readLines(k.path)
	if err != nil {
		return err
	}
	var all []cipher.AEAD
	for _, line := range lines {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != keySize {
			return fmt.Errorf("%s does not hold %d bytes in base64 in each line: %w", k.path, keySize, errdefs.ErrInvalidArgument)
		}
		aead, err := open(raw)
		if err != nil {
			return err
		}
		all = append(all, aead)
	}
	if len(all) == 0 {
		return fmt.Errorf("%s holds no key: %w", k.path, errdefs.ErrInvalidArgument)
	}
	k.all, k.read = all, info.ModTime()
	return nil
}

// keys are those to use now, the first of which seals. A file that cannot be
// read any more leaves what it was.
func (k *Key) keys() []cipher.AEAD {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.path != "" {
		_ = k.load()
	}
	return k.all
}

func readLines(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	return strings.Fields(string(text)), err
}

// create writes a new key under another name and links it into place, so that
// of two that start at once both use the same key, whole.
func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	name, err := write(filepath.Dir(path), newKey())
	defer os.Remove(name)
	if err != nil {
		return err
	}
	if err := os.Link(name, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// newKey is a line of the file.
func newKey() string {
	var raw [keySize]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return base64.StdEncoding.EncodeToString(raw[:])
}

// write writes lines to a new file for its owner alone, which lasts.
func write(dir string, lines ...string) (name string, err error) {
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	return f.Name(), errors.Join(err, f.Sync(), f.Close())
}

// Seal encrypts a secret. purpose says what it is for, such as "webhook ID";
// Open wants the same.
func (k *Key) Seal(purpose, secret string) string {
	aead := k.keys()[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(secret)+aead.Overhead())
	_, _ = rand.Read(nonce)
	return version + base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(secret), []byte(purpose)))
}

// Open gives the secret back, or ErrFailedPrecondition when the value was
// sealed by another key or for another purpose.
func (k *Key) Open(purpose, sealed string) (string, error) {
	secret, _, err := k.open(purpose, sealed)
	return secret, err
}

// open says, too, whether the present key sealed it.
func (k *Key) open(purpose, sealed string) (secret string, present bool, err error) {
	text, ok := strings.CutPrefix(sealed, version)
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if !ok || err != nil {
		return "", false, fmt.Errorf("%s: not a sealed secret: %w", purpose, errdefs.ErrFailedPrecondition)
	}
	for i, aead := range k.keys() {
		n := aead.NonceSize()
		if len(raw) < n {
			break
		}
		if plain, err := aead.Open(nil, raw[:n], raw[n:], []byte(purpose)); err == nil {
			return string(plain), i == 0, nil
		}
	}
	return "", false, fmt.Errorf("%s: sealed with another key: %w", purpose, errdefs.ErrFailedPrecondition)
}
