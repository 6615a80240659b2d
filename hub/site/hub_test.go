package site

import (
	"archive/tar"
	"fmt"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/oci"
	"github.com/distribution/distribution/v3"
	_ "github.com/distribution/distribution/v3/manifest/manifestlist" // registers its media type
	_ "github.com/distribution/distribution/v3/manifest/ocischema"    // registers its media type
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hub is a Hub without a registry in front: images are put into its storage and
// told to its catalogue, as the registry does.
type hub struct {
	t        *testing.T
	accounts *account.Service
	catalog  *catalog.Service
	storage  distribution.Namespace
	site     *Site
	server   *httptest.Server
	admin    account.Principal
}

const password = "correct horse battery staple"

func newHub(t *testing.T) *hub {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &hub{t: t, accounts: account.New(db, account.Options{SignUp: true}), catalog: catalog.New(db, catalog.Options{})}
	if h.storage, err = storage.NewRegistry(t.Context(), inmemory.New()); err != nil {
		t.Fatal(err)
	}
	reader, err := contents.New(h.storage, t.TempDir(), contents.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	})
	if h.site, err = New(Options{Accounts: h.accounts, Catalog: h.catalog, Contents: reader, Host: "hub.example"}); err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewServer(h.site)
	t.Cleanup(h.server.Close)
	token, err := h.accounts.FirstRun(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := h.accounts.Setup(t.Context(), token, account.NewUser{Name: "ada", Email: "ada@hub.example", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	h.admin = admin.Principal()
	return h
}

func (h *hub) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// user makes an account.
func (h *hub) user(name string) account.Principal {
	h.t.Helper()
	u, err := h.accounts.SignUp(h.t.Context(), account.NewUser{Name: name, Password: password})
	h.must(err)
	return u.Principal()
}

// repo makes a repository.
func (h *hub) repo(by account.Principal, name string, public bool) catalog.Repository {
	h.t.Helper()
	r, err := h.catalog.Create(h.t.Context(), by, name, public)
	h.must(err)
	return r
}

// push stores an image and moves a tag to it.
func (h *hub) push(by account.Principal, r catalog.Repository, tag string, i oci.Image) {
	h.t.Helper()
	ctx := h.t.Context()
	named, err := reference.WithName(r.Storage)
	h.must(err)
	repository, err := h.storage.Repository(ctx, named)
	h.must(err)
	for _, b := range i.Blobs {
		_, err := repository.Blobs(ctx).Put(ctx, b.Descriptor.MediaType, b.Data)
		h.must(err)
	}
	service, err := repository.Manifests(ctx)
	h.must(err)
	for _, m := range i.Manifests {
		parsed, _, err := distribution.UnmarshalManifest(m.Descriptor.MediaType, m.Data)
		h.must(err)
		_, err = service.Put(ctx, parsed)
		h.must(err)
		tagged := ""
		if m.Descriptor.Digest == i.Root().Descriptor.Digest {
			tagged = tag
		}
		_, err = h.catalog.Pushed(ctx, by, r, catalog.Manifest{
			Digest: string(m.Descriptor.Digest), MediaType: m.Descriptor.MediaType, Size: m.Descriptor.Size, Total: m.Descriptor.Size,
		}, tagged)
		h.must(err)
	}
}

func file(name, data string) oci.Entry {
	return oci.Entry{Header: tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, Data: []byte(data)}
}

// webImage is an image of a web server with Debian's packages, for two platforms.
func webImage(t *testing.T, version string, packages map[string]string, extra ...oci.Entry) oci.Image {
	t.Helper()
	var images []oci.Image
	for _, arch := range []string{"amd64", "arm64"} {
		var list strings.Builder
		for _, name := range slices.Sorted(maps.Keys(packages)) {
			fmt.Fprintf(&list, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n\n", name, arch, packages[name])
		}
		base, err := oci.NewLayer([]oci.Entry{
			file("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12\"\n"), file("usr/bin/sh", strings.Repeat("sh", 40_000)), file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
		}, oci.Gzip)
		if err != nil {
			t.Fatal(err)
		}
		server, err := oci.NewLayer(append([]oci.Entry{
			file("var/lib/dpkg/status", list.String()), file("usr/sbin/apache2", strings.Repeat(version, 30_000)), file("etc/apache2/apache2.conf", "Listen 80\n"),
		}, extra...), oci.Zstd)
		if err != nil {
			t.Fatal(err)
		}
		page, err := oci.NewLayer([]oci.Entry{file("srv/www/index.html", "<h1>"+version+"</h1>")}, oci.Gzip)
		if err != nil {
			t.Fatal(err)
		}
		config := ocispec.ImageConfig{
			Cmd: []string{"apache2ctl", "-D", "FOREGROUND"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}, WorkingDir: "/srv/www", StopSignal: "SIGWINCH",
			Env:    []string{"PATH=/usr/sbin:/usr/bin", "APP_VERSION=" + version},
			Labels: map[string]string{"org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
		}
		i, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: arch}, config, "RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends apache2 # buildkit", base, server, page)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, i)
	}
	index, err := oci.NewIndex(images...)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// scenery makes repositories, an organisation and pulls, for pages to show.
func (h *hub) scenery() {
	h.t.Helper()
	ctx := h.t.Context()
	_, err := h.accounts.CreateOrganisation(ctx, h.admin, "harbour")
	h.must(err)
	h.must(h.accounts.SetOrganisationProfile(ctx, h.admin, "harbour", account.Profile{Display: "Harbour", About: "Images for what we run at home"}))
	_, err = h.accounts.CreateTeam(ctx, h.admin, "harbour", "crew", "Who keeps things running")
	h.must(err)
	for i, r := range []struct{ name, about string }{
		{"harbour/mariadb", "MariaDB on Debian, with backups by a label"}, {"harbour/mosquitto", "An MQTT broker of five megabytes"}, {"harbour/proxy", "Reverse proxy that reads its routes from labels"},
		{"ada/notes", "Notes that stay on your own machine"}, {"grace/compiler", "A compiler for a language nobody has heard of yet"},
	} {
		repo := h.repo(h.admin, r.name, true)
		h.must(h.catalog.SetText(ctx, h.admin, r.name, r.about, ""))
		h.push(h.admin, repo, "latest", webImage(h.t, r.name, map[string]string{"libc6": "2.36-9"}))
		for range (i*7919 + 311) % 2500 {
			h.catalog.Pulled(repo, "latest")
		}
	}
	web, _, err := h.catalog.Find(ctx, h.admin, "ada/web")
	h.must(err)
	for range 14_220 {
		h.catalog.Pulled(web, "latest")
	}
	h.must(h.catalog.FlushPulls(ctx))
}
