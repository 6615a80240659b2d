// Package seal keeps secrets that the Hub must be able to use again (signing
// secrets of webhooks, passwords of upstream registries) encrypted in its
// database: whoever reads a backup of it reads no secret. The key is a file
// beside the database, or wherever the administrator puts it; several nodes of
// one Hub share it. AES-256-GCM; what a value is for is bound to it, so that a
// sealed value moved to another row does not open.
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

	"github.com/containerd/errdefs"
)

// Key seals and opens.
type Key struct{ aead cipher.AEAD }

const (
	keySize = 32
	version = "v1."
)

// Load reads the key from a file, base64 in one line. A file that is missing is
// made, for its owner alone, and is on the disk before it is used.
func Load(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the key that seals secrets: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != keySize {
		return nil, fmt.Errorf("the key that seals secrets: %s does not hold %d bytes in base64: %w", path, keySize, errdefs.ErrInvalidArgument)
	}
	return New([keySize]byte(raw))
}

// New makes a Key of its bytes.
func New(raw [keySize]byte) (*Key, error) {
	block, err := aes.NewCipher(raw[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Key{aead: aead}, nil
}

// create writes a new key under another name and links it into place, so that
// of two that start at once both use the same key, whole.
func create(path string) ([]byte, error) {
	var raw [keySize]byte
	_, _ = rand.Read(raw[:]) // it never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(raw[:]) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}

// Seal encrypts a secret. purpose says what it is for, such as "webhook ID";
// Open wants the same.
func (k *Key) Seal(purpose, secret string) string {
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(secret)+k.aead.Overhead())
	_, _ = rand.Read(nonce)
	return version + base64.RawStdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, []byte(secret), []byte(purpose)))
}

// Open gives the secret back, or ErrFailedPrecondition when the value was
// sealed by another key or for another purpose.
func (k *Key) Open(purpose, sealed string) (string, error) {
	text, ok := strings.CutPrefix(sealed, version)
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(raw) < k.aead.NonceSize() {
		return "", fmt.Errorf("%s: not a sealed secret: %w", purpose, errdefs.ErrFailedPrecondition)
	}
	n := k.aead.NonceSize()
	plain, err := k.aead.Open(nil, raw[:n], raw[n:], []byte(purpose))
	if err != nil {
		return "", fmt.Errorf("%s: sealed with another key: %w", purpose, errdefs.ErrFailedPrecondition)
	}
	return string(plain), nil
}
