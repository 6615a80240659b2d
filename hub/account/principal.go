package account

import (
	"slices"
	"strings"
)

// Kind says what sort of principal acts.
type Kind string

// The kinds. The zero value is who has not signed in.
const (
	KindAnonymous Kind = ""
	KindUser      Kind = "user"
	KindRobot     Kind = "robot"
	KindSystem    Kind = "system"
)

// Scope is what a personal access token may be used for.
type Scope string

// The scopes. Each of the repository scopes includes the ones before it.
const (
	ScopeRead    Scope = "repo:read"
	ScopeWrite   Scope = "repo:write"
	ScopeAdmin   Scope = "repo:admin"
	ScopeAccount Scope = "account" // organisations, teams, robots, webhooks …, but no credentials
	ScopeHub     Scope = "hub"     // what only administrators of the Hub may do
)

// Scopes lists all there are, in the order of the pages.
var Scopes = []Scope{ScopeRead, ScopeWrite, ScopeAdmin, ScopeAccount, ScopeHub}

// Principal is who acts. The zero value is anonymous. It says who somebody is,
// not what they may do: rights are looked up when they are used.
type Principal struct {
	Kind Kind   `json:"kind,omitempty"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Scopes bound what the principal may do; nil is no bound, which only
	// passwords and sessions give.
	Scopes []Scope `json:"scopes,omitempty"`
	// Credential is the id of the access token that was used, if any.
	Credential string `json:"credential,omitempty"`
}

// System is the Hub itself, as the part that name says. It may do everything,
// and no request can be it.
func System(name string) Principal { return Principal{Kind: KindSystem, ID: name, Name: name} }

// Anonymous reports whether nobody signed in.
func (p Principal) Anonymous() bool { return p.Kind == KindAnonymous }

// Allows reports whether the principal's scopes include one.
func (p Principal) Allows(s Scope) bool {
	if p.Scopes == nil {
		return true
	}
	order := []Scope{ScopeRead, ScopeWrite, ScopeAdmin}
	if i := slices.Index(order, s); i >= 0 {
		return slices.ContainsFunc(order[i:], func(s Scope) bool { return slices.Contains(p.Scopes, s) })
	}
	return slices.Contains(p.Scopes, s)
}

func joinScopes(scopes []Scope) string {
	var all []string
	for _, s := range scopes {
		all = append(all, string(s))
	}
	return strings.Join(all, " ")
}

func splitScopes(text string) []Scope {
	scopes := []Scope{} // not nil: that would be no bound
	for s := range strings.FieldsSeq(text) {
		scopes = append(scopes, Scope(s))
	}
	return scopes
}
