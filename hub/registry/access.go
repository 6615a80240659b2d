package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/berth-engine/berth/hub/status"
	"github.com/berth-engine/berth/hub/token"
	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3/registry/auth"
	registrymiddleware "github.com/distribution/distribution/v3/registry/middleware/registry"
)

// ours is the name under which distribution knows our parts.
const ours = "berth"

// register tells distribution of our parts, once a process.
var register = sync.OnceValue(func() error {
	return errors.Join(
		auth.Register(ours, func(options map[string]any) (auth.AccessController, error) {
			return controller{options["registry"].(*Registry)}, nil
		}),
		registrymiddleware.Register(ours, newNamespace),
	)
})

// controller decides on what distribution's router says a request wants.
type controller struct{ r *Registry }

// Authorized grants or returns a challenge. Who may not read gets the same
// answer whether or not there is something to read.
func (c controller) Authorized(req *http.Request, wanted ...auth.Access) (*auth.Grant, error) {
	ctx := req.Context()
	rq := requestOf(ctx)
	who := rq.identity.Principal
	grant := &auth.Grant{User: auth.UserInfo{Name: who.Name}}
	if c.r.o.Catalog.Open() {
		return grant, nil
	}
	ask := &challenge{r: c.r, rq: rq, wanted: scopes(wanted)}
	switch {
	case rq.err != nil && !errdefs.IsUnauthorized(rq.err):
		ask.failure = rq.err
		return nil, ask
	case rq.err != nil:
		ask.reason = "invalid_token"
		return nil, ask
	}
	repository := ""
	if len(wanted) > 0 && wanted[0].Type == "repository" {
		repository = wanted[0].Name
	}
	for _, a := range wanted {
		if a.Type != "repository" {
			continue // the catalogue lists what who asks may read
		}
		role, err := c.r.o.Catalog.Role(ctx, who, a.Name)
		if err != nil {
			ask.failure = err
			return nil, ask
		}
		least, known := token.RoleFor(a.Action)
		allowed := known && role >= least
		switch {
		case allowed && rq.identity.Gives(a.Name, a.Action):
		case allowed && a.Action == "pull" && !rq.signedIn: // public: no token is needed
		case a.Name != repository:
			rq.noMount = true // its content is uploaded instead
		case rq.signedIn && rq.identity.WasAsked(a.Name, a.Action):
			ask.denied = true
			return nil, ask
		default:
			ask.reason = "insufficient_scope"
			return nil, ask
		}
	}
	if repository == "" && !rq.signedIn {
		return nil, ask // this is how a client learns where to sign in
	}
	return grant, nil
}

// scopes writes what is wanted as a token server reads it.
func scopes(wanted []auth.Access) string {
	var order []string
	actions := map[string][]string{}
	for _, a := range wanted {
		if a.Type != "repository" {
			continue
		}
		key := a.Type + ":" + a.Name
		if _, ok := actions[key]; !ok {
			order = append(order, key)
		}
		if !slices.Contains(actions[key], a.Action) {
			actions[key] = append(actions[key], a.Action)
		}
	}
	for i, key := range order {
		order[i] = key + ":" + strings.Join(actions[key], ",")
	}
	return strings.Join(order, " ")
}

// challenge is a refusal: a 401 that says where to get a token or, when another
// token would not help, a 403.
type challenge struct {
	r       *Registry
	rq      *request
	wanted  string
	reason  string
	denied  bool
	failure error
}

func (c *challenge) Error() string { return "not authorised: " + c.wanted }

// SetHeaders is called before distribution answers 401. Other answers are given
// here, and distribution's is dropped.
func (c *challenge) SetHeaders(req *http.Request, w http.ResponseWriter) {
	done := func(answer int, code, message string) {
		token.Fail(w, answer, code, message)
		c.rq.writer.complete = true
	}
	switch {
	case errdefs.IsResourceExhausted(c.rq.err):
		status.Retry(w.Header(), c.rq.err)
		done(http.StatusTooManyRequests, "TOOMANYREQUESTS", c.rq.err.Error())
	case status.Of(c.failure) == status.Gone:
		done(status.Gone, "UNKNOWN", "the client went away")
	case c.failure != nil:
		c.r.o.Log.ErrorContext(req.Context(), "registry: rights", "error", c.failure)
		done(http.StatusInternalServerError, "UNKNOWN", "the Hub failed; its log says why")
	case c.denied:
		done(http.StatusForbidden, "DENIED", "requested access to the resource is denied")
	default:
		w.Header().Set("WWW-Authenticate", c.bearer(req))
	}
}

func (c *challenge) bearer(req *http.Request) string {
	base := c.r.o.PublicURL
	if base == "" {
		base = "http://" + req.Host
		if req.TLS != nil {
			base = "https://" + req.Host
		}
	}
	header := fmt.Sprintf("Bearer realm=%q,service=%q", base+"/token", token.ServiceName)
	if c.wanted != "" {
		header += fmt.Sprintf(",scope=%q", c.wanted)
	}
	if c.reason != "" {
		header += fmt.Sprintf(",error=%q", c.reason)
	}
	return header
}
