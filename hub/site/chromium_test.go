package site

import (
	"bytes"
	"context"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "take the pictures of docs/hub anew")

// tab is a tab of a real browser, and what its console said.
type tab struct {
	*hub
	ctx context.Context

	mu   sync.Mutex
	said []string // violations of the policy, errors, dialogs
}

// chromium starts Debian's Chromium.
func (h *hub) chromium() *tab {
	h.t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		h.t.Skip("chromium is not installed (tools/setup test installs it)")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(1280, 860), chromedp.UserDataDir(h.t.TempDir()), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("no-proxy-server", true))
	ctx, cancel := chromedp.NewExecAllocator(h.t.Context(), options...)
	h.t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute) // a browser that hangs
	h.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	h.t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			h.t.Log(err)
		}
		cancel()
	})
	b := &tab{hub: h, ctx: ctx}
	b.run(chromedp.Navigate("about:blank"))
	h.must(chromedp.Listen(ctx, b.listen))
	_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	h.must(err)
	_, err = chromedp.Call(ctx, page.Enable, page.EnableParams{})
	h.must(err)
	_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	h.must(err)
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			b.said = append(b.said, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		b.said = append(b.said, "dialog: "+e.Message)
		go func() { // the event's own handler must not wait for the browser
			if _, err := chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true}); err != nil {
				b.t.Log(err)
			}
		}()
	}
}

func (b *tab) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// quiet fails when the browser had something to complain of.
func (b *tab) quiet(allowed ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.said {
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.Contains(s, a) }) {
			b.t.Errorf("the browser said: %s", s)
		}
	}
	b.said = nil
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.server.URL+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// eval returns what a script does.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (b *tab) see(want string) {
	b.t.Helper()
	got := eval[string](b, "document.body.innerText")
	if !strings.Contains(got, want) {
		b.t.Errorf("no %q in: %.800s", want, got)
	}
}

// click clicks and waits for the page that follows.
func (b *tab) click(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
	b.run(chromedp.WaitReady(chromedp.CSS("main")))
}

func (b *tab) fill(pairs ...string) {
	b.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		b.run(chromedp.SendKeys(chromedp.CSS(pairs[i]), pairs[i+1]))
	}
}

func (b *tab) signIn(name string) {
	b.t.Helper()
	b.open("/signin")
	b.fill("#name", name, "#password", password)
	b.click("main button")
}

func (b *tab) dark(on bool) {
	scheme := "light"
	if on {
		scheme = "dark"
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	b.must(err)
}

func (b *tab) size(width, height int64) {
	_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
	b.must(err)
}

// picture takes one for docs/hub, with few colours so that it is small, when
// -update is given; else it only proves that one can be taken.
func (b *tab) picture(name string) {
	b.t.Helper()
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	b.must(err)
	if !*update {
		return
	}
	full, err := png.Decode(bytes.NewReader(shot))
	b.must(err)
	small := image.NewPaletted(full.Bounds(), palette(full))
	draw.Draw(small, small.Bounds(), full, image.Point{}, draw.Src)
	var out bytes.Buffer
	b.must((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	b.must(os.WriteFile(filepath.Join("..", "..", "docs", "hub", name+".png"), out.Bytes(), 0o644))
}

// palette is the 256 colours that a picture has most of, of each neighbourhood
// one.
func palette(m image.Image) color.Palette {
	counts := map[color.RGBA]int{}
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y++ {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x++ {
			counts[color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)]++
		}
	}
	all := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return int(a.R)<<16 + int(a.G)<<8 + int(a.B) - int(b.R)<<16 - int(b.G)<<8 - int(b.B)
	})
	near := func(a, b uint8) bool { return max(a, b)-min(a, b) < 3 }
	var chosen color.Palette
	for _, c := range all {
		if len(chosen) == 256 {
			break
		}
		if !slices.ContainsFunc(chosen, func(k color.Color) bool {
			x := k.(color.RGBA)
			return near(x.R, c.R) && near(x.G, c.G) && near(x.B, c.B)
		}) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}
