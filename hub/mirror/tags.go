package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/berth-engine/berth/hub/store"
	"github.com/containerd/errdefs"
)

const (
	// maxTagList bounds one page of an upstream's tags, in bytes.
	maxTagList = 8 << 20
	// maxTagPages bounds how many pages of a repository are kept.
	maxTagPages = 1000
)

// tagPage is one page of a repository's tags, as the upstream gave it.
type tagPage struct {
	Tags []string `json:"tags"`
	// Last is where the next page begins; "" is the last page.
	Last string `json:"last,omitempty"`
	// N is how many the upstream gives at once then; 0 is as it likes.
	N int `json:"n,omitempty"`

	checked time.Time
}

var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// serveTags answers GET tags/list: a page as the upstream has it, asked for anew
// when it is no longer fresh, and what it was while the upstream cannot be asked.
func (s *Service) serveTags(w http.ResponseWriter, r *http.Request, m Mirror, repository string) error {
	query := r.URL.Query()
	n := 0
	if text := query.Get("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return fmt.Errorf("n=%q is no number of tags: %w", text, errdefs.ErrInvalidArgument)
		}
	}
	last := query.Get("last")
	if last != "" && !tagForm.MatchString(last) {
		return fmt.Errorf("last=%q is no tag: %w", last, errdefs.ErrInvalidArgument)
	}
	page, stale, err := s.tags(r.Context(), m, repository, min(n, 1000), last)
	if err != nil {
		return err
	}
	name, _, _, _ := split(r.URL.Path)
	h := w.Header()
	if stale {
		h.Set("Warning", `110 - "the upstream registry could not be asked"`)
	}
	if page.Last != "" {
		next := url.Values{"last": {page.Last}}
		if page.N > 0 {
			next.Set("n", strconv.Itoa(page.N))
		}
		h.Set("Link", fmt.Sprintf(`</v2/%s/tags/list?%s>; rel="next"`, name, next.Encode()))
	}
	h.Set("Content-Type", "application/json")
	if r.Method == http.MethodHead {
		return nil
	}
	// A client that went away needs no answer.
	_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": append([]string{}, page.Tags...)})
	return nil
}

// tags returns a page of a repository's tags, and whether it is an old one.
func (s *Service) tags(ctx context.Context, m Mirror, repository string, n int, last string) (page tagPage, stale bool, err error) {
	key := fmt.Sprintf("%d %s", n, last)
	page, err = s.keptTags(ctx, m, repository, key)
	have := err == nil
	if err != nil && !errdefs.IsNotFound(err) {
		return tagPage{}, false, err
	}
	if have && time.Since(page.checked) < time.Duration(m.FreshSeconds)*time.Second {
		return page, false, nil
	}
	u, err := s.upstream(m)
	if err != nil {
		return tagPage{}, false, err
	}
	found, err := fetchTags(ctx, u, repository, n, last)
	switch {
	case err == nil:
		return found, false, s.keepTags(ctx, m, repository, key, found)
	case have && (errdefs.IsResourceExhausted(err) || errdefs.IsUnavailable(err)):
		return page, true, nil
	}
	return tagPage{}, false, err
}

func fetchTags(ctx context.Context, u *upstream, repository string, n int, last string) (page tagPage, err error) {
	query := url.Values{}
	if n > 0 {
		query.Set("n", strconv.Itoa(n))
	}
	if last != "" {
		query.Set("last", last)
	}
	path := "tags/list"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, err := u.get(ctx, http.MethodGet, repository, path, []string{"application/json"})
	if err != nil {
		return tagPage{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTagList+1))
	if err != nil {
		return tagPage{}, fmt.Errorf("the upstream registry: %w", unavailable(err))
	}
	if err := json.Unmarshal(body, &page); err != nil || len(body) > maxTagList {
		return tagPage{}, fmt.Errorf("the upstream registry sent %d bytes, which are no list of tags: %w", len(body), errdefs.ErrUnavailable)
	}
	for _, tag := range page.Tags {
		if !tagForm.MatchString(tag) {
			return tagPage{}, fmt.Errorf("the upstream registry lists %q, which is no tag: %w", tag, errdefs.ErrUnavailable)
		}
	}
	page.Last, page.N, page.checked = "", 0, time.Now()
	if next := nextPage(resp.Header.Get("Link")); next != nil {
		page.Last = next.Get("last")
		page.N, _ = strconv.Atoi(next.Get("n")) // as it likes, when that is no number
		if page.N < 0 || !tagForm.MatchString(page.Last) {
			page.Last, page.N = "", 0 // a cursor of another kind cannot be passed on
		}
	}
	return page, nil
}

var nextForm = regexp.MustCompile(`^<([^>]*)>\s*;\s*rel="?next"?`)

// nextPage is the query of the page that follows, or nil.
func nextPage(link string) url.Values {
	found := nextForm.FindStringSubmatch(link)
	if found == nil {
		return nil
	}
	u, err := url.Parse(found[1])
	if err != nil {
		return nil
	}
	return u.Query()
}

// keptTags reads the page that the mirror has, ErrNotFound when it has none.
func (s *Service) keptTags(ctx context.Context, m Mirror, repository, key string) (page tagPage, err error) {
	var text string
	var checked int64
	err = s.DB.QueryRow(ctx, "SELECT page, checked FROM mirror_tags WHERE mirror = ? AND repository = ? AND query = ?", m.ID, repository, key).Scan(&text, &checked)
	if err != nil {
		return tagPage{}, err
	}
	err = json.Unmarshal([]byte(text), &page)
	page.checked = time.Unix(checked, 0)
	return page, err
}

// keepTags writes a page down. Clients may ask for pages of any size, so that of
// one repository only so many are kept.
func (s *Service) keepTags(ctx context.Context, m Mirror, repository, key string, page tagPage) error {
	text, err := json.Marshal(page)
	if err != nil {
		return err
	}
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		var pages int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM mirror_tags WHERE mirror = ? AND repository = ?", m.ID, repository).Scan(&pages); err != nil {
			return err
		}
		if pages >= maxTagPages {
			if _, err := tx.Exec(ctx, "DELETE FROM mirror_tags WHERE mirror = ? AND repository = ?", m.ID, repository); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO mirror_tags (mirror, repository, query, page, checked) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (mirror, repository, query) DO UPDATE SET page = excluded.page, checked = excluded.checked`, m.ID, repository, key, string(text), page.checked.Unix())
		return err
	})
	if err != nil {
		return errors.Join(errors.New("keep the upstream's tags"), err)
	}
	return nil
}
