package registry

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws" // the storage of several nodes
)

// ParseStorage reads where content is kept: a directory, or
// s3://BUCKET[/PREFIX]?region=R&endpoint=URL&path-style=true for S3 and what
// speaks its protocol. Credentials come from the environment or the files and
// services that AWS's clients know, never from here.
func ParseStorage(text string) (configuration.Storage, error) {
	if !strings.HasPrefix(text, "s3://") {
		return Filesystem(text), nil
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: storage %q: %s", errdefs.ErrInvalidArgument, text, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, bad("it is s3://BUCKET[/PREFIX]?region=…&endpoint=…")
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: credentials of the storage belong into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)", errdefs.ErrInvalidArgument)
	}
	p := configuration.Parameters{"bucket": u.Host, "region": "us-east-1", "loglevel": "off"}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		p["rootdirectory"] = "/" + prefix
	}
	for key, values := range u.Query() {
		value := values[len(values)-1]
		switch key {
		case "region":
			p["region"] = value
		case "endpoint":
			endpoint, err := url.Parse(value)
			if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
				return nil, bad("endpoint %q is not http(s)://HOST", value)
			}
			p["regionendpoint"] = value
			p["secure"] = endpoint.Scheme == "https"
		case "path-style":
			style, err := strconv.ParseBool(value)
			if err != nil {
				return nil, bad("path-style is true or false, not %q", value)
			}
			p["forcepathstyle"] = style
		default:
			return nil, bad("there is no parameter %q; there are region, endpoint and path-style", key)
		}
	}
	return configuration.Storage{"s3": p}, nil
}
