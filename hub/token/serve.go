package token

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
)

// maxScopes is how many resources one token may be asked for: a push that
// mounts from many repositories asks for some.
const maxScopes = 64

// maxForm bounds the body of a request for a token.
const maxForm = 64 << 10

type answer struct {
	Token     string `json:"token"`
	Access    string `json:"access_token"`
	ExpiresIn int    `json:"expires_in"`
	IssuedAt  string `json:"issued_at"`
	Scope     string `json:"scope,omitempty"`
}

// ServeHTTP is the token server: GET as the registry's protocol has it (Basic,
// service, scope), and POST with a password grant as OAuth 2 has it. Without
// credentials, the token is for what everybody may do.
func (s *Service) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	req.Body = http.MaxBytesReader(w, req.Body, maxForm)
	var p account.Principal
	var err error
	switch req.Method {
	case http.MethodGet:
		p, err = s.basic(req)
	case http.MethodPost:
		p, err = s.granted(req)
	default:
		w.Header().Set("Allow", "GET, POST")
		Fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "a token is asked for by GET or POST")
		return
	}
	if err == nil {
		err = req.ParseForm()
		if err != nil {
			err = fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, err)
		}
	}
	var asked []Access
	if err == nil {
		asked, err = parseScopes(req.Form["scope"])
	}
	if service := req.Form.Get("service"); err == nil && service != "" && service != ServiceName {
		err = fmt.Errorf("%w: this is the token server of %q, not of %q", errdefs.ErrInvalidArgument, ServiceName, service)
	}
	var text string
	var at time.Time
	if err == nil {
		text, at, err = s.issue(req.Context(), p, asked)
	}
	if err != nil {
		s.refuse(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// The client may have gone.
	_ = json.NewEncoder(w).Encode(answer{Token: text, Access: text, ExpiresIn: int(life / time.Second), IssuedAt: at.UTC().Format(time.RFC3339)})
}

func (s *Service) refuse(w http.ResponseWriter, req *http.Request, err error) {
	code, name, text := status.Of(err), "UNSUPPORTED", err.Error()
	status.Retry(w.Header(), err)
	switch code {
	case http.StatusTooManyRequests:
		name = "TOOMANYREQUESTS"
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Berth Hub"`)
		name = "UNAUTHORIZED"
	case http.StatusInternalServerError:
		slog.ErrorContext(req.Context(), "token", "error", err)
		name, text = "UNKNOWN", "the Hub failed; its log says why"
	}
	Fail(w, code, name, text)
}

// Fail answers with an error in the registry's form.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// The client may have gone.
	_ = json.NewEncoder(w).Encode(map[string][]entry{"errors": {{code, message}}})
}

func (s *Service) basic(req *http.Request) (account.Principal, error) {
	if req.Header.Get("Authorization") == "" {
		return account.Principal{}, nil
	}
	name, secret, ok := req.BasicAuth()
	if !ok {
		return account.Principal{}, account.ErrBadCredentials
	}
	return s.accounts.Authenticate(req.Context(), name, secret)
}

func (s *Service) granted(req *http.Request) (account.Principal, error) {
	if err := req.ParseForm(); err != nil {
		return account.Principal{}, fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, err)
	}
	if grant := req.PostForm.Get("grant_type"); grant != "password" {
		return account.Principal{}, fmt.Errorf("%w: the grant %q is not there; use password", errdefs.ErrInvalidArgument, grant)
	}
	return s.accounts.Authenticate(req.Context(), req.PostForm.Get("username"), req.PostForm.Get("password"))
}

// parseScopes reads type:name:action,action; each parameter may have several,
// with spaces between.
func parseScopes(parameters []string) ([]Access, error) {
	all := []Access{}
	for _, parameter := range parameters {
		for scope := range strings.FieldsSeq(parameter) {
			kind, rest, ok := strings.Cut(scope, ":")
			at := strings.LastIndexByte(rest, ':')
			if !ok || at < 0 {
				return nil, fmt.Errorf("%w: the scope %q is not type:name:actions", errdefs.ErrInvalidArgument, scope)
			}
			kind, _, _ = strings.Cut(kind, "(") // repository(plugin)
			actions := strings.Split(rest[at+1:], ",")
			if slices.Contains(actions, "*") {
				actions = []string{"pull", "push", "delete"}
			}
			all = append(all, Access{Type: kind, Name: rest[:at], Actions: actions})
		}
	}
	if len(all) > maxScopes {
		return nil, fmt.Errorf("%w: a token is for at most %d scopes", errdefs.ErrInvalidArgument, maxScopes)
	}
	return all, nil
}
