package cli

import (
	"errors"
	"os"
	"strconv"

	"github.com/spf13/pflag"
)

// trustFlag is the switch of Docker Content Trust (Notary). Images are pinned
// by digest and checked by the daemon's policy; signatures of Notary are not
// known, so that asking for them must fail rather than run what nobody checked.
func trustFlag(f *pflag.FlagSet, untrusted *bool) {
	on, _ := strconv.ParseBool(os.Getenv("DOCKER_CONTENT_TRUST"))
	f.BoolVar(untrusted, "disable-content-trust", !on, "Skip image verification")
}

func checkTrust(untrusted bool) error {
	if untrusted {
		return nil
	}
	return errors.New("content trust: signatures of Notary cannot be verified; name the image by digest, or unset DOCKER_CONTENT_TRUST and do not give --disable-content-trust=false")
}
