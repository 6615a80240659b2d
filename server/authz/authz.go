// Package authz asks authorisation plugins whether a request may be carried out
// and whether its answer may be sent (docs.docker.com/engine/extend/plugins_authorization).
//
// A plugin decides on what the engine will act on, not on what was sent: the
// body that it gets is the decoded request, encoded again, the path is decoded,
// and the parameters are in one order. So there is no spelling of a request that
// a plugin and the engine read differently (CVE-2024-41110 was a body that the
// plugin did not get at all). A plugin that does not answer refuses.
package authz

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/plugin"
)

// Capability is what an authorisation plugin implements.
const Capability = "authz"

// Message is what a plugin is told, in the protocol's form.
type Message struct {
	User                    string            `json:",omitempty"` // of the client's certificate
	UserAuthNMethod         string            `json:",omitempty"` // "TLS"
	RequestMethod           string            `json:",omitempty"`
	RequestURI              string            `json:",omitempty"`
	RequestBody             []byte            `json:",omitempty"`
	RequestHeaders          map[string]string `json:",omitempty"`
	RequestPeerCertificates []certificate     `json:",omitempty"`
	ResponseBody            []byte            `json:",omitempty"`
	ResponseHeaders         map[string]string `json:",omitempty"`
	ResponseStatusCode      int               `json:",omitempty"`
}

type certificate struct{ *x509.Certificate }

// MarshalJSON gives the certificate in PEM, in base64 as bytes are.
func (c certificate) MarshalJSON() ([]byte, error) {
	return json.Marshal(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// NewMessage describes a request. The body is added by who has decoded it.
func NewMessage(r *http.Request) *Message {
	query, _ := url.ParseQuery(r.URL.RawQuery) // refused before, if it does not parse
	uri := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	m := &Message{RequestMethod: r.Method, RequestURI: uri.RequestURI(), RequestHeaders: headers(r.Header)}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.PeerCertificates) > 0 {
		m.User, m.UserAuthNMethod = r.TLS.PeerCertificates[0].Subject.CommonName, "TLS"
		for _, c := range r.TLS.PeerCertificates {
			m.RequestPeerCertificates = append(m.RequestPeerCertificates, certificate{c})
		}
	}
	return m
}

// headers are the first values, without credentials of registries.
func headers(h http.Header) map[string]string {
	out := map[string]string{}
	for k, v := range h {
		if strings.EqualFold(k, "X-Registry-Config") || strings.EqualFold(k, "X-Registry-Auth") || len(v) == 0 {
			continue
		}
		out[k] = v[0]
	}
	return out
}

// Chain are the plugins that are asked, in order: each has to allow.
type Chain struct {
	plugins *plugin.Registry
	names   []string
}

// New makes a chain.
func New(plugins *plugin.Registry, names []string) *Chain { return &Chain{plugins, names} }

// Request asks whether a request may be carried out.
func (c *Chain) Request(ctx context.Context, m *Message) error { return c.ask(ctx, "AuthZReq", m) }

// Response asks whether the answer to a request may be sent.
func (c *Chain) Response(ctx context.Context, m *Message) error { return c.ask(ctx, "AuthZRes", m) }

var errNone = errors.New("there are no plugins")

func (c *Chain) ask(ctx context.Context, what string, m *Message) error {
	for _, name := range c.names {
		var answer struct {
			Allow    bool
			Msg, Err string
		}
		err := errNone
		var p *plugin.Plugin
		if c.plugins != nil {
			p, err = c.plugins.Get(ctx, name, Capability)
		}
		if err == nil {
			err = p.Call(ctx, "AuthZPlugin."+what, m, &answer)
		}
		if err == nil && answer.Err != "" {
			err = fmt.Errorf("%s", answer.Err)
		}
		if err != nil {
			// Without a kind of the plugin's: it must not choose the status.
			return fmt.Errorf("plugin %s failed with error: AuthZPlugin.%s: %s", name, what, err.Error())
		}
		if !answer.Allow {
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("authorization denied by plugin %s: %s", name, answer.Msg))
		}
	}
	return nil
}
