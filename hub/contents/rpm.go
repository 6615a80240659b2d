package contents

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // RPM's database since 4.16; the Hub has it for its own
)

const (
	// maxRPMDatabase bounds a database that is read: a full Fedora has less than
	// 100 MB.
	maxRPMDatabase = 256 << 20
	// maxRPMHeader bounds one package's header, as RPM itself does (headerMaxbytes).
	maxRPMHeader = 256 << 20
	// maxRPMs bounds how many packages are listed.
	maxRPMs = 100_000
	// rpmTime bounds the reading of a database, which may have been made to take long.
	rpmTime = 10 * time.Second
)

// rpmDatabase reports whether a path is RPM's database in the form that it has
// since RPM 4.16 (Fedora 33, RHEL 9). Older ones (Berkeley DB) and SUSE's (ndb)
// are not read.
func rpmDatabase(path string) bool {
	return path == "var/lib/rpm/rpmdb.sqlite" || path == "usr/lib/sysimage/rpm/rpmdb.sqlite"
}

// rpm lists the packages of a database, which is a stranger's: it is opened as
// a file of its own that is only read, views and functions of its schema are
// not run, and time is bounded. What is no such database has none.
func rpm(ctx context.Context, content io.Reader) (list []Package, err error) {
	ctx, cancel := context.WithTimeout(ctx, rpmTime)
	defer cancel()
	f, err := os.CreateTemp("", "berth-hub-rpmdb-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	at := url.URL{Scheme: "file", OmitHost: true, Path: f.Name(), RawQuery: "mode=ro&immutable=1&_pragma=trusted_schema(0)&_pragma=query_only(1)&_pragma=cell_size_check(1)"}
	db, err := sql.Open("sqlite", at.String())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var plain int
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'Packages' AND type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'").Scan(&plain)
	if err != nil || plain != 1 {
		return nil, noRPMs(err)
	}
	rows, err := db.QueryContext(ctx, "SELECT blob FROM Packages LIMIT ?", maxRPMs)
	if err != nil {
		return nil, noRPMs(err)
	}
	defer rows.Close()
	for rows.Next() {
		var header []byte
		if err := rows.Scan(&header); err != nil {
			return nil, noRPMs(err)
		}
		if p, ok := rpmHeader(header); ok && p.Name != "gpg-pubkey" { // RPM keeps keys as packages
			list = append(list, p)
		}
	}
	return list, noRPMs(rows.Err())
}

// noRPMs says why a database has no list; what cannot be read is no reason to
// show nothing of the image, so that only a reading that was broken off is one.
func noRPMs(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Tags of a header (RPM's rpmtag.h) and their types.
const (
	rpmName, rpmVersion, rpmRelease, rpmEpoch, rpmArch = 1000, 1001, 1002, 1003, 1022
	rpmInt32, rpmString                                = 4, 6
)

// rpmHeader reads a package's name, version and architecture. The form is RPM's
// (docs/manual/format_header.md), without the magic: the numbers of entries and
// of bytes of data, the entries (tag, type, offset, count), the data.
func rpmHeader(b []byte) (p Package, ok bool) {
	if len(b) < 8 || len(b) > maxRPMHeader {
		return p, false
	}
	entries, size := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	rest := b[8:]
	if uint64(entries)*16+uint64(size) > uint64(len(rest)) {
		return p, false
	}
	data := rest[entries*16:][:size]
	text := map[uint32]string{}
	for i := range entries {
		e := rest[i*16:]
		tag, kind, offset := binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:])
		if offset >= size {
			continue
		}
		switch value := data[offset:]; {
		case kind == rpmString:
			if end := bytes.IndexByte(value, 0); end >= 0 && end <= 1024 {
				text[tag] = string(value[:end])
			}
		case kind == rpmInt32 && tag == rpmEpoch && len(value) >= 4:
			text[tag] = strconv.FormatUint(uint64(binary.BigEndian.Uint32(value)), 10)
		}
	}
	p = Package{Name: text[rpmName], Version: text[rpmVersion], Arch: text[rpmArch], Manager: "rpm"}
	if r := text[rpmRelease]; r != "" {
		p.Version += "-" + r
	}
	if epoch := text[rpmEpoch]; epoch != "" && epoch != "0" {
		p.Version = epoch + ":" + p.Version
	}
	return p, p.Name != "" && p.Version != ""
}
