package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/argon2"
)

// argon2id's parameters are OWASP's second choice (19 MiB, two passes, one
// lane); parallelHashes bounds what all sign-ins together take.
const (
	hashMemory     = 19 * 1024 // KiB
	hashPasses     = 2
	saltSize       = 16
	keySize        = 32
	parallelHashes = 4
)

// Passwords have ten characters at least, and an end, since each byte is hashed.
const (
	minPassword = 10
	maxPassword = 256
)

func validPassword(name, password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Errorf("%w: a password must have %d characters or more", errdefs.ErrInvalidArgument, minPassword)
	case len(password) > maxPassword || !utf8.ValidString(password):
		return fmt.Errorf("%w: a password must be text of at most %d bytes", errdefs.ErrInvalidArgument, maxPassword)
	case name != "" && strings.Contains(strings.ToLower(password), name):
		return fmt.Errorf("%w: the password must not contain the name", errdefs.ErrInvalidArgument)
	}
	return nil
}

// slot waits until a password may be hashed; call the function when it was.
func (s *Service) slot(ctx context.Context) (func(), error) {
	select {
	case s.hashes <- struct{}{}:
		return func() { <-s.hashes }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash returns the password's hash in PHC's form.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	release, err := s.slot(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	key := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, 1, keySize)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, hashMemory, hashPasses,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

// nobody is the hash that is checked when there is no such user, so that the
// answer takes as long.
var nobody = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, hashMemory, hashPasses,
	base64.RawStdEncoding.EncodeToString(make([]byte, saltSize)), base64.RawStdEncoding.EncodeToString(make([]byte, keySize)))

// matches reports whether a password has a hash. The caller holds a slot.
func matches(hash, password string) bool {
	var version, memory, passes uint32
	fields := strings.Split(hash, "$")
	if len(fields) != 6 || fields[1] != "argon2id" || len(password) > maxPassword {
		return false
	}
	if _, err := fmt.Sscanf(fields[2]+" "+fields[3], "v=%d m=%d,t=%d,p=1", &version, &memory, &passes); err != nil || version != argon2.Version {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(fields[4])
	if err != nil {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(fields[5])
	if err != nil || len(key) == 0 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, 1, uint32(len(key))) //nolint:gosec // 32
	return subtle.ConstantTimeCompare(got, key) == 1
}
