//go:build !faultpoints

package fault

import "testing"

func TestDisabled(t *testing.T) {
	t.Setenv("BERTH_FAULT", "a=error")
	if err := Point("a"); err != nil {
		t.Errorf("an ordinary build has fault points: %v", err)
	}
}
