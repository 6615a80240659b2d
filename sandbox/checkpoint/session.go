package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/kernel/timerslack"
)

// session is one criu process, which answers one request.
type session struct {
	cmd    *exec.Cmd
	socket int
	// notified is told of what criu has come to. file is what came along, the
	// callee's from then on.
	notified func(script string, pid int, file *os.File) error
}

// begin starts criu with these standard streams (nil: /dev/null) and further
// descriptors, which are 4 and so on for it.
func (o *Options) begin(ctx context.Context, streams [3]*os.File, files ...*os.File) (*session, error) {
	path, err := exec.LookPath(cmp.Or(o.Program, "criu"))
	if err != nil {
		return nil, fmt.Errorf("criu is not installed (Debian's package criu): %w: %w", err, errdefs.ErrNotImplemented)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "criu")
	defer theirs.Close()
	s := &session{socket: pair[0], cmd: exec.CommandContext(ctx, path, "swrk", "3")}
	// A nil *os.File in an interface would not be nil.
	if f := streams[0]; f != nil {
		s.cmd.Stdin = f
	}
	if f := streams[1]; f != nil {
		s.cmd.Stdout = f
	}
	if f := streams[2]; f != nil {
		s.cmd.Stderr = f
	}
	s.cmd.ExtraFiles = append([]*os.File{theirs}, files...)
	if err := timerslack.Fork(s.cmd.Start); err != nil {
		unix.Close(s.socket)
		return nil, err
	}
	return s, nil
}

// end lets criu go, and waits for it.
func (s *session) end() error {
	unix.Close(s.socket)
	return s.cmd.Wait()
}

// errRefused is criu's word for anything; its log says more.
var errRefused = errors.New("criu failed")

// ask sends a request and attends to criu until it answers.
func (s *session) ask(req *rpc.CriuReq) (*rpc.CriuResp, error) {
	kind := req.GetType()
	for {
		if err := s.send(req); err != nil {
			return nil, err
		}
		resp, file, err := s.receive()
		if err != nil {
			return nil, err
		}
		switch {
		case !resp.GetSuccess():
			closeFile(file)
			return nil, refusal(resp)
		case resp.GetType() == kind:
			closeFile(file)
			return resp, nil
		case resp.GetType() != rpc.CriuReqType_NOTIFY || resp.GetNotify() == nil || s.notified == nil:
			closeFile(file)
			return nil, fmt.Errorf("criu answers %v to %v", resp.GetType(), kind)
		}
		if err := s.notified(resp.GetNotify().GetScript(), int(resp.GetNotify().GetPid()), file); err != nil {
			return nil, err
		}
		req = &rpc.CriuReq{Type: new(rpc.CriuReqType_NOTIFY), NotifySuccess: new(true)}
	}
}

func refusal(resp *rpc.CriuResp) error {
	text := resp.GetCrErrmsg()
	if n := resp.GetCrErrno(); n != 0 {
		if text != "" {
			text += ": "
		}
		text += unix.Errno(n).Error()
	}
	if text == "" {
		return errRefused
	}
	return fmt.Errorf("%w: %s", errRefused, text)
}

func (s *session) send(req *rpc.CriuReq) error {
	data, err := req.MarshalVT()
	if err != nil {
		return err
	}
	// Without a signal if criu has ended: why, its log says.
	return os.NewSyscallError("send to criu", unix.Send(s.socket, data, unix.MSG_NOSIGNAL))
}

// receive returns the next message, and a descriptor if one came along.
func (s *session) receive() (*rpc.CriuResp, *os.File, error) {
	data, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	var n, oobn, flags int
	var err error
	for {
		if n, oobn, flags, _, err = unix.Recvmsg(s.socket, data, oob, unix.MSG_CMSG_CLOEXEC); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, nil, os.NewSyscallError("receive from criu", err)
	}
	file := descriptor(oob[:oobn])
	if n == 0 || flags&unix.MSG_TRUNC != 0 {
		closeFile(file)
		return nil, nil, fmt.Errorf("%w: it ended, or said too much", errRefused)
	}
	resp := new(rpc.CriuResp)
	if err := resp.UnmarshalVT(data[:n]); err != nil {
		closeFile(file)
		return nil, nil, fmt.Errorf("message of criu: %w", err)
	}
	return resp, file, nil
}

func descriptor(oob []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "from criu")
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}
