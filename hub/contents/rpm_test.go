package contents

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// header makes a header of a package as RPM writes it.
func header(name, version, release, arch string, epoch uint32) []byte {
	var index, data bytes.Buffer
	n := uint32(0)
	entry := func(tag, kind uint32, value []byte) {
		for _, v := range []uint32{tag, kind, uint32(data.Len()), 1} {
			_ = binary.Write(&index, binary.BigEndian, v)
		}
		data.Write(value)
		n++
	}
	for data.Len()%4 != 0 {
		data.WriteByte(0)
	}
	entry(rpmEpoch, rpmInt32, binary.BigEndian.AppendUint32(nil, epoch))
	entry(rpmName, rpmString, append([]byte(name), 0))
	entry(rpmVersion, rpmString, append([]byte(version), 0))
	entry(rpmRelease, rpmString, append([]byte(release), 0))
	entry(rpmArch, rpmString, append([]byte(arch), 0))
	entry(1004, 9, []byte("a summary\x00")) // of a type that is not read
	out := binary.BigEndian.AppendUint32(nil, n)
	out = binary.BigEndian.AppendUint32(out, uint32(data.Len()))
	return append(append(out, index.Bytes()...), data.Bytes()...)
}

// rpmFile makes a SQLite file by statements.
func rpmFile(t *testing.T, statements string, blobs ...[]byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO Packages (blob) VALUES (?)", b); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const rpmSchema = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"

func TestRPM(t *testing.T) {
	bash, dbus := header("bash", "5.2.26", "4.fc41", "x86_64", 0), header("dbus", "1.14", "1", "noarch", 1)
	data := rpmFile(t, rpmSchema, bash, dbus, header("gpg-pubkey", "x", "y", "", 0), []byte("nonsense"), []byte{})
	list, err := rpm(t.Context(), bytes.NewReader(data))
	slices.SortFunc(list, comparePackages)
	want := []Package{{"bash", "5.2.26-4.fc41", "x86_64", "rpm"}, {"dbus", "1:1.14-1", "noarch", "rpm"}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v, %v", list, err)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "berth-hub-rpmdb-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}

// TestEvilRPM: a database that was made to do harm has no packages.
func TestEvilRPM(t *testing.T) {
	endless := "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS blob FROM c"
	for name, data := range map[string][]byte{
		"no database": []byte("nonsense"), "empty": nil, "no table": rpmFile(t, "CREATE TABLE x (y)"),
		"a view without end": rpmFile(t, "CREATE VIEW Packages AS "+endless),
		"another column":     rpmFile(t, "CREATE TABLE Packages (x)"),
		"half":               rpmFile(t, rpmSchema, header("bash", "1", "1", "", 0))[:5000],
	} {
		if list, err := rpm(t.Context(), bytes.NewReader(data)); err != nil || len(list) != 0 {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
}

func FuzzRPMHeader(f *testing.F) {
	f.Add(header("bash", "5.2.26", "4.fc41", "x86_64", 1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := rpmHeader(b); ok && (p.Name == "" || p.Version == "" || len(p.Name) > 1024) {
			t.Errorf("%+v", p)
		}
	})
}
