package audit

import (
	"slices"
	"strconv"
	"testing"

	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/test/postgres"
)

func TestList(t *testing.T)     { testList(t, "") }
func TestPostgres(t *testing.T) { testList(t, postgres.Start(t).Database(t, "audit")) }

// testList: what happened within one second is listed in its order, and the next
// page begins where one ends.
func testList(t *testing.T, url string) {
	t.Helper()
	db := storetest.Open(t, url)
	var want []string
	for i := range 30 {
		target := strconv.Itoa(i)
		err := db.Tx(t.Context(), func(tx *store.Tx) error {
			return Add(t.Context(), tx, Entry{Action: "test", Namespace: "ann", Target: target})
		})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, target)
	}
	slices.Reverse(want)
	var got []string
	for f := (Filter{Namespace: "ann", Limit: 7}); ; {
		list, err := List(t.Context(), db, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			got = append(got, e.Target)
		}
		f.Before = list[len(list)-1].Time
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
