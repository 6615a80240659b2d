// Package token signs people in to the registry: the token server of Docker's
// protocol (https://distribution.github.io/distribution/spec/auth/token/), and
// who a request's Authorization header says it is from.
//
// Tokens are JWTs, signed by ES256 with keys that are in the database and change
// every day, and good for five minutes. A token says who somebody is and which
// access they were given; what they may do is looked up again when it is used.
package token

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store"
)

// life is how long a token is good. leeway is how far the clocks of nodes may
// differ.
const (
	life   = 5 * time.Minute
	leeway = 30 * time.Second
)

// ServiceName is the audience of tokens, and their issuer.
const ServiceName = "berth-hub"

// Access is a set of actions on a resource, as in a scope.
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// Identity is who a request is from.
type Identity struct {
	Principal account.Principal
	// Bounded is set when a token was used: then only Access is given, of what
	// was Asked for.
	Bounded       bool
	Access, Asked []Access
}

// Gives reports whether the credential covers an action on a repository.
func (i Identity) Gives(name, action string) bool {
	return !i.Bounded || covers(i.Access, name, action)
}

// WasAsked reports whether the credential was meant to cover it: to ask for
// another token would not help.
func (i Identity) WasAsked(name, action string) bool {
	return !i.Bounded || covers(i.Asked, name, action)
}

func covers(all []Access, name, action string) bool {
	return slices.ContainsFunc(all, func(a Access) bool {
		return a.Type == "repository" && a.Name == name && slices.Contains(a.Actions, action)
	})
}

// claims are those of RFC 7519, with access as Docker's registry has it and
// what is ours.
type claims struct {
	Issuer    string            `json:"iss"`
	Subject   string            `json:"sub"`
	Audience  string            `json:"aud"`
	Expires   int64             `json:"exp"`
	NotBefore int64             `json:"nbf"`
	Issued    int64             `json:"iat"`
	ID        string            `json:"jti"`
	Access    []Access          `json:"access"`
	Asked     []Access          `json:"berth_asked"`
	Principal account.Principal `json:"berth_principal"`
	Since     int64             `json:"berth_since"` // when they signed in
}

// Service issues and checks tokens.
type Service struct {
	accounts *account.Service
	catalog  *catalog.Service
	keys     *keys
	now      func() time.Time
}

// New makes the service; now is the clock, nil means time.Now.
func New(db *store.DB, accounts *account.Service, c *catalog.Service, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{accounts: accounts, catalog: c, now: now, keys: &keys{db: db, now: now}}
}

// issue signs a token for somebody with what they may have of what they asked
// for.
func (s *Service) issue(ctx context.Context, p account.Principal, asked []Access) (string, time.Time, error) {
	given, err := s.given(ctx, p, asked)
	if err != nil {
		return "", time.Time{}, err
	}
	kid, key, err := s.keys.signing(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	now := s.now()
	text, err := sign(kid, key, claims{
		Issuer: ServiceName, Subject: p.Name, Audience: ServiceName, ID: store.NewID(),
		Expires: now.Add(life).Unix(), NotBefore: now.Unix(), Issued: now.Unix(), Since: now.Unix(),
		Access: given, Asked: asked, Principal: p,
	})
	return text, now, err
}

// roles is what each action needs.
var roles = map[string]catalog.Role{"pull": catalog.Read, "push": catalog.Write, "delete": catalog.Admin}

// RoleFor is the role that an action of the registry needs; an unknown action
// has none, and nobody may do it.
func RoleFor(action string) (catalog.Role, bool) {
	role, ok := roles[action]
	return role, ok
}

func (s *Service) given(ctx context.Context, p account.Principal, asked []Access) ([]Access, error) {
	given := []Access{}
	for _, a := range asked {
		if a.Type != "repository" || catalog.ValidName(a.Name) != nil {
			continue
		}
		role, err := s.catalog.Role(ctx, p, a.Name)
		if err != nil {
			return nil, err
		}
		g := Access{Type: a.Type, Name: a.Name}
		for _, action := range a.Actions {
			if least, ok := RoleFor(action); ok && role >= least {
				g.Actions = append(g.Actions, action)
			}
		}
		if len(g.Actions) > 0 {
			given = append(given, g)
		}
	}
	return given, nil
}

// Identify returns who an Authorization header is from: nobody without one,
// and ErrUnauthenticated when it is wrong. It takes the registry's tokens,
// access tokens (both as Bearer), and names with passwords (Basic).
func (s *Service) Identify(ctx context.Context, authorization string) (Identity, error) {
	scheme, credential, _ := strings.Cut(authorization, " ")
	credential = strings.TrimSpace(credential)
	switch {
	case authorization == "":
		return Identity{}, nil
	case strings.EqualFold(scheme, "basic"):
		name, secret, ok := parseBasic(credential)
		if !ok {
			return Identity{}, account.ErrBadCredentials
		}
		p, err := s.accounts.Authenticate(ctx, name, secret)
		return Identity{Principal: p}, err
	case strings.EqualFold(scheme, "bearer") && strings.Count(credential, ".") == 2:
		return s.check(ctx, credential)
	case strings.EqualFold(scheme, "bearer"):
		p, err := s.accounts.AuthenticateToken(ctx, credential)
		return Identity{Principal: p}, err
	}
	return Identity{}, account.ErrBadCredentials
}

func parseBasic(credential string) (name, secret string, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(credential)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(raw), ":")
}

// check verifies a token and that whom it names is still there.
func (s *Service) check(ctx context.Context, text string) (Identity, error) {
	var c claims
	err := verify(text, func(kid string) (*ecdsa.PublicKey, error) { return s.keys.verifying(ctx, kid) }, &c)
	if err != nil {
		return Identity{}, err
	}
	now := s.now().Unix()
	slack := int64(leeway / time.Second)
	if c.Issuer != ServiceName || c.Audience != ServiceName || now >= c.Expires+slack || now < c.NotBefore-slack {
		return Identity{}, errToken
	}
	p, err := s.accounts.Current(ctx, c.Principal, time.Unix(c.Since, 0))
	return Identity{Principal: p, Bounded: true, Access: c.Access, Asked: c.Asked}, err
}
