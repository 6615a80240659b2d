package site

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/audit"
	"github.com/berth-engine/berth/hub/autobuild"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/contents"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/outbound"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/berth-engine/berth/hub/webhook"
	"github.com/berth-engine/berth/oci"
	"github.com/distribution/distribution/v3"
	_ "github.com/distribution/distribution/v3/manifest/manifestlist" // registers its media type
	_ "github.com/distribution/distribution/v3/manifest/ocischema"    // registers its media type
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/distribution/reference"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hub is a Hub without a registry in front: images are put into its storage and
// told to its catalogue, as the registry does.
type hub struct {
	collector *gc.Collector
	t         *testing.T
	accounts  *account.Service
	catalog   *catalog.Service
	storage   distribution.Namespace
	site      *Site
	server    *httptest.Server
	hooks     *webhook.Service
	db        *store.DB
	admin     account.Principal
}

const password = "correct horse battery staple"

func testKey(t *testing.T) *seal.Key {
	t.Helper()
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHub(t *testing.T) *hub {
	t.Helper()
	db := storetest.Open(t, "")
	var err error
	h := &hub{t: t, accounts: account.New(db, account.Options{SignUp: true, Key: testKey(t)}), catalog: catalog.New(db, catalog.Options{})}
	driver := inmemory.New()
	if h.storage, err = storage.NewRegistry(t.Context(), driver); err != nil {
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
	key := testKey(t)
	h.hooks = webhook.New(webhook.Options{DB: db, Catalog: h.catalog, Key: key, Policy: outbound.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	h.db = db
	mirrors, err := mirror.New(mirror.Options{DB: db, Catalog: h.catalog, Key: key, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	h.collector = gc.New(gc.Options{DB: db, Catalog: h.catalog, Gate: gc.NewGate(db, time.Hour, nil), Driver: driver})
	builds, err := autobuild.New(autobuild.Options{
		DB: db, Catalog: h.catalog, Key: key, Dir: t.TempDir(), Engines: []autobuild.Engine{{Name: "builder", Host: "unix:///nowhere", Registry: "hub.example", Parallel: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.site, err = New(Options{Accounts: h.accounts, Catalog: h.catalog, Contents: reader, Webhooks: h.hooks, Builds: builds, Retention: retention.New(retention.Options{DB: db, Catalog: h.catalog}), GC: h.collector, Mirrors: mirrors, Host: "hub.example"}); err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remote, _, _ := strings.Cut(r.RemoteAddr, ":")
		h.site.ServeHTTP(w, r.WithContext(audit.WithRemote(r.Context(), remote)))
	}))
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

// noise is content that does not get smaller, the same each time.
func noise(seed string, n int) string {
	sum := sha256.Sum256([]byte(seed))
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(sum).Read(data) // never fails
	return string(data)
}

// webImage is an image of a web server with Debian's packages, for two platforms,
// with the history that a builder writes.
func webImage(t *testing.T, version string, packages map[string]string, extra ...oci.Entry) oci.Image {
	t.Helper()
	var images []oci.Image
	for _, arch := range []string{"amd64", "arm64"} {
		var list strings.Builder
		for _, name := range slices.Sorted(maps.Keys(packages)) {
			fmt.Fprintf(&list, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\n\n", name, arch, packages[name])
		}
		layers := [][]oci.Entry{
			{file("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12\"\n"), file("usr/bin/sh", noise(arch, 620_000)), file("etc/passwd", "root:x:0:0::/root:/bin/sh\n")},
			append([]oci.Entry{file("var/lib/dpkg/status", list.String()), file("usr/sbin/apache2", noise(arch+version, 410_000)), file("etc/apache2/apache2.conf", "Listen 80\n")}, extra...),
			{file("srv/www/index.html", "<h1>"+version+"</h1>")},
		}
		config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}, Config: ocispec.ImageConfig{
			Cmd: []string{"apache2ctl", "-D", "FOREGROUND"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}, WorkingDir: "/srv/www", StopSignal: "SIGWINCH",
			Env:    []string{"PATH=/usr/sbin:/usr/bin", "APP_VERSION=" + version},
			Labels: map[string]string{"org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
		}}
		for _, line := range []string{
			"/bin/sh -c #(nop) ADD file:3c74e7e08cbf9a876 in / ", "-/bin/sh -c #(nop)  CMD [\"bash\"]",
			"RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends apache2 && rm -rf /var/lib/apt/lists/* # buildkit",
			"-ENV APP_VERSION=" + version, "-WORKDIR /srv/www", "COPY index.html . # buildkit", "-EXPOSE map[80/tcp:{}]", "-CMD [\"apache2ctl\" \"-D\" \"FOREGROUND\"]",
		} {
			line, empty := strings.CutPrefix(line, "-")
			config.History = append(config.History, ocispec.History{CreatedBy: line, EmptyLayer: empty})
		}
		images = append(images, assemble(t, config, layers))
	}
	index, err := oci.NewIndex(images...)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// assemble is oci.NewImage for a whole configuration.
func assemble(t *testing.T, config ocispec.Image, layers [][]oci.Entry) oci.Image {
	t.Helper()
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	config.RootFS.Type = "layers"
	var i oci.Image
	for n, entries := range layers {
		l, err := oci.NewLayer(entries, []oci.Compression{oci.Gzip, oci.Zstd}[n%2])
		if err != nil {
			t.Fatal(err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		manifest.Layers = append(manifest.Layers, l.Descriptor)
		i.Blobs = append(i.Blobs, l.Blob)
	}
	encode := func(mediaType string, v any) oci.Blob {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return oci.NewBlob(mediaType, data)
	}
	c := encode(ocispec.MediaTypeImageConfig, config)
	manifest.Config = c.Descriptor
	i.Blobs = append(i.Blobs, c)
	m := encode(ocispec.MediaTypeImageManifest, manifest)
	m.Descriptor.Platform = &config.Platform
	i.Manifests = []oci.Blob{m}
	return i
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
		{"harbour/mariadb", "MariaDB on Debian, with backups by a label"},
		{"harbour/mosquitto", "An MQTT broker of five megabytes"},
		{"harbour/proxy", "Reverse proxy that reads its routes from labels"},
		{"ada/notes", "Notes that stay on your own machine"},
		{"grace/compiler", "A compiler for a language nobody has heard of yet"},
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
	for _, name := range []string{"ada/web", "harbour/proxy"} {
		h.must(h.catalog.Star(ctx, h.admin, name, true))
	}
	h.must(h.catalog.SetText(ctx, h.admin, "ada/web", "A small web server on Debian", sceneryReadme))
}

const sceneryReadme = `# Web

A small web server on Debian, for pages that are files. It starts in a tenth of a second, keeps its log on standard output, and stops when it is asked to.

## Run it

` + "```sh" + `
docker run -d -p 8080:80 -v ./pages:/srv/www:ro hub.example/ada/web
` + "```" + `

| Variable | Default | What it does |
|---|---|---|
| ` + "`APP_VERSION`" + ` | the tag | shown at the foot of each page |

- [x] for amd64 and arm64
- [x] without root in the container
- [ ] HTTP/3

> Pages are read at each request: change them while it runs.
`
