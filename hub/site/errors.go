package site

import (
	"fmt"
	"net/http"

	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
)

// errNoPage is for addresses that lead nowhere, and answers the same as what
// somebody may not know of.
var errNoPage = fmt.Errorf("no page: %w", errdefs.ErrNotFound)

type errorBody struct {
	Status        int
	Heading, Text string
}

// fail shows an error page. Not found says nothing of why: what is private looks
// like what is not there. Failures of the Hub itself go to the log, not to
// strangers.
func (v *visit) fail(err error) {
	code := status.Of(err)
	status.Retry(v.w.Header(), err)
	body := errorBody{Status: code, Heading: "That did not work", Text: err.Error()}
	switch code {
	case http.StatusNotFound:
		body.Heading, body.Text = "Nothing here", "This page does not exist, or it is private and you do not have access."
	case http.StatusForbidden:
		body.Heading = "Not allowed"
	case http.StatusTooManyRequests:
		body.Heading = "Slow down"
	case http.StatusInternalServerError:
		v.Log.Error("page failed", "method", v.r.Method, "path", v.path, "error", err)
		body.Heading, body.Text = "Something broke", "The fault is the Hub’s. What happened is in its log."
	}
	if err := v.render(code, "error", Page{Title: body.Heading, Body: body}); err != nil {
		v.Log.Error("error page failed", "path", v.path, "error", err)
		http.Error(v.w, body.Text, code)
	}
}

// problem is what a form says of an error that is the user's; ok is false for
// others, which are for an error page.
func problem(err error) (text string, ok bool) {
	switch code := status.Of(err); code {
	case http.StatusInternalServerError, http.StatusNotFound, http.StatusForbidden:
		return "", false
	default:
		return err.Error(), true
	}
}

// again shows a form once more with what was wrong about it.
func (v *visit) again(err error, show func(problem string) error) error {
	text, ok := problem(err)
	if !ok {
		return err
	}
	status.Retry(v.w.Header(), err)
	v.w = &withStatus{v.w, status.Of(err)}
	return show(text)
}

// withStatus gives a page the status of the problem that it shows.
type withStatus struct {
	http.ResponseWriter
	status int
}

func (w *withStatus) WriteHeader(int) { w.ResponseWriter.WriteHeader(w.status) }
