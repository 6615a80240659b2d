package spec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"github.com/berth-engine/berth/kernel/mount"
)

// Bounds on what an image can make this process read and keep.
const (
	maxUserFile = 4 << 20
	maxUserSpec = 512
	maxGroups   = 65536 // NGROUPS_MAX
)

// ResolveUser finds out who "user[:group]" is in the image whose root
// directory is root, with the groups of groupAdd besides. /etc/passwd and
// /etc/group are a stranger's files: they are read by descriptor, only if they
// are regular, up to 4 MiB, and lines without a sound id are not there.
func ResolveUser(root *os.File, who string, groupAdd []string) (User, error) {
	if len(who) > maxUserSpec || strings.ContainsAny(who, "\n\x00") {
		return User{}, invalid("invalid user: longer than %d bytes or more than one line", maxUserSpec)
	}
	for part := range strings.SplitSeq(who, ":") {
		if strings.HasPrefix(part, "+") || strings.HasPrefix(part, "-") {
			return User{}, invalid("unable to find user %s: %v", who, user.ErrRange)
		}
	}
	passwd, err := userFile(root, "/etc/passwd", 7, 2, 3)
	if err != nil {
		return User{}, err
	}
	group, err := userFile(root, "/etc/group", 4, 2)
	if err != nil {
		return User{}, err
	}
	u, err := user.GetExecUser(who, nil, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return User{}, invalid("%v", err)
	}
	gids := u.Sgids
	if len(groupAdd) > 0 {
		more, err := user.GetAdditionalGroups(groupAdd, bytes.NewReader(group))
		if err != nil {
			return User{}, invalid("%v", err)
		}
		gids = append(gids, more...)
	}
	return convert(u, gids)
}

func convert(u *user.ExecUser, gids []int) (User, error) {
	out := User{UID: uint32(u.Uid), GID: uint32(u.Gid), Home: u.Home}
	if len(gids) > maxGroups {
		return out, invalid("more than %d groups", maxGroups)
	}
	out.Additional = supplementary(out.GID)
	seen := map[int]bool{u.Gid: true}
	for _, g := range gids {
		if g < 0 || g > math.MaxInt32 {
			return out, invalid("%v", user.ErrRange)
		}
		if !seen[g] {
			seen[g] = true
			out.Additional = append(out.Additional, uint32(g))
		}
	}
	if strings.ContainsAny(out.Home, "\n\x00") {
		out.Home = ""
	}
	return out, nil
}

// userFile reads the file and drops the lines whose numbers are not numbers:
// the parser would take them for 0, which is root. A missing file is empty.
func userFile(root *os.File, path string, fields int, numeric ...int) ([]byte, error) {
	b, err := mount.ReadFileInRoot(root, path, maxUserFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if mount.Unreadable(err) {
		return nil, invalid("read %s of the image: %v", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of the image: %w", path, err)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", fields)
		if soundLine(parts, numeric) {
			out.Write(line)
		}
	}
	return out.Bytes(), nil
}

func sound(parts []string, numeric []int) bool {
	for _, i := range numeric {
		if i >= len(parts) {
			return false
		}
		if n, err := strconv.ParseUint(parts[i], 10, 32); err != nil || n > math.MaxInt32 {
			return false
		}
	}
	return true
}
