package hub

import (
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berth-engine/berth/test/hubload"
	"github.com/berth-engine/berth/test/postgres"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// TestTwoNodes runs two Hubs on one PostgreSQL and one S3 bucket: what is pushed to one is pulled from the other at once,
// with one account on both, and both push at the same time.
func TestTwoNodes(t *testing.T) {
	database := postgres.Start(t).Database(t, "hub")
	backend := s3mem.New()
	if err := backend.CreateBucket("images"); err != nil {
		t.Fatal(err)
	}
	s3 := httptest.NewServer(gofakes3.New(backend).Server())
	defer s3.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	newUser(t, database, "load")
	secret := userToken(t, database, "load")
	data := t.TempDir()
	var urls [2]string
	for i := range urls {
		_, urls[i] = process(t, "--data", data, "--accounts", "--database", database, "--storage", "s3://images/hub?endpoint="+s3.URL+"&path-style=true")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []hubload.Push
	for i, url := range urls {
		wg.Go(func() {
			o := hubload.Options{URL: url, Repository: "load/same", User: "load", Secret: secret, Workers: 5, Rounds: 2, Layer: 1 << 10}
			if i == 1 {
				o.Repository = "load/other"
			}
			o.Pushed = func(p hubload.Push) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, p)
			}
			if r := hubload.Run(t.Context(), o); len(r.Errors) > 0 {
				t.Errorf("node %d: %v", i, r.Errors)
			}
		})
	}
	wg.Wait()
	for i, url := range urls {
		if errs := hubload.Verify(t.Context(), hubload.Options{URL: url, User: "load", Secret: secret}, all); len(errs) > 0 {
			t.Errorf("node %d: %d of %d: %v", i, len(errs), len(all), errs[0])
		}
	}
	if len(all) != 20 {
		t.Errorf("%d pushes", len(all))
	}
	for _, local := range []string{"registry", "hub.db"} {
		if _, err := os.Stat(filepath.Join(data, local)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was kept on the node: %v", local, err)
		}
	}
}
