// Package netd is the part of the host's network that must outlive the engine:
// a socket for every published port, and the resolvers of containers on
// user-defined networks. While it holds a port, no other process can take it;
// what reaches the socket itself, because no rule of the firewall leads it on
// ([::], or a flushed table), is passed to the container by a splice. Policy
// stays in the engine, which says what to hold, and which names there are.
//
// Server runs in the program berth-netd, Client in the engine. The protocol is
// in docs/contracts/netd.md.
package netd

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/berth-engine/berth/network/dns"
)

// Version is the protocol spoken here. A peer that speaks an older one is
// answered in it. Version 2 brought resolvers.
const Version = 2

// maxFrame bounds one message: about 100,000 ports.
const maxFrame = 16 << 20

// Port is what to hold: a port of the host, any port of a range, or any at
// all (HostPort 0), and where its traffic goes.
type Port struct {
	HostIP        netip.Addr `json:"host_ip"` // zero: every address of both families
	HostPort      uint16     `json:"host_port,omitempty"`
	HostPortEnd   uint16     `json:"host_port_end,omitempty"`
	Proto         string     `json:"proto"` // tcp, udp or sctp
	ContainerIP   netip.Addr `json:"container_ip"`
	ContainerPort uint16     `json:"container_port"`
	// Count is how many ports in a row are meant, on both sides; 0: one. They are
	// held without sockets.
	Count uint16 `json:"count,omitempty"`
	// Loopback: with HostIP zero, the loopback addresses of both families alone.
	Loopback bool `json:"loopback,omitempty"`
	// InName: the container sees the client's address, not the host's, where
	// answers can be led back here.
	InName bool `json:"in_name,omitempty"`
}

// Mark is what connections made in a client's name are marked with. Their
// answers must be led to this host.
const Mark = 0xbe57

// Binding is a held port. A wildcard has one for each address family.
type Binding struct {
	HostIP        netip.Addr `json:"host_ip"`
	HostPort      uint16     `json:"host_port"`
	Proto         string     `json:"proto"`
	ContainerIP   netip.Addr `json:"container_ip"`
	ContainerPort uint16     `json:"container_port"`
	Count         uint16     `json:"count,omitempty"`   // as of a Port
	InName        bool       `json:"in_name,omitempty"` // the same
}

// SetOf is bindings to be looked up: there may be thousands.
func SetOf(bindings []Binding) map[Binding]bool {
	set := make(map[Binding]bool, len(bindings))
	for _, b := range bindings {
		set[b] = true
	}
	return set
}

// RefusalError says which port could not be held and why.
type RefusalError struct {
	Port Binding `json:"port"`
	// Allocated: held for another owner already.
	Allocated bool   `json:"allocated,omitempty"`
	Text      string `json:"text"`
}

func (r *RefusalError) Error() string { return r.Text }

// Operations of a request.
const (
	opHello    = "hello"
	opReserve  = "reserve"
	opRelease  = "release"
	opChange   = "change"
	opLead     = "lead"
	opTurn     = "turn"
	opCount    = "connections"
	opList     = "list"
	opQuit     = "quit"
	opHandover = "handover"
	opCopies   = "copies"
	opRestore  = "restore"

	opResolve   = "resolve"
	opUnresolve = "unresolve"
	opLend      = "lend"
	opRecord    = "record"
	opUnrecord  = "unrecord"
	opNames     = "names"
)

type request struct {
	Op      string     `json:"op"`
	Version int        `json:"version,omitempty"` // hello: the newest the client speaks
	Owner   string     `json:"owner,omitempty"`
	Ports   []Port     `json:"ports,omitempty"`
	Keep    []Binding  `json:"keep,omitempty"` // change; restore: what to hold
	To      netip.Addr `json:"to,omitzero"`    // lead
	// Member is what the owner is to others: reserve, change, restore; turn.
	Member *Member `json:"member,omitempty"`

	Sandbox *dns.Sandbox `json:"sandbox,omitempty"` // resolve
	// Sockets: two descriptors follow, those of the resolver's UDP and TCP socket.
	Sockets bool        `json:"sockets,omitempty"`
	Record  *dns.Record `json:"record,omitempty"` // record; unrecord: network and endpoint
}

func (r *request) member() Member {
	if r.Member == nil {
		return Member{}
	}
	return *r.Member
}

func (r *request) opener() opener { return opener{r.Owner, r.member()} }

// said is m in a request.
func (m Member) said() *Member {
	if m == (Member{}) {
		return nil
	}
	return &m
}

type response struct {
	Version  int                  `json:"version,omitempty"`
	Pid      int                  `json:"pid,omitempty"`
	Bindings []Binding            `json:"bindings,omitempty"` // reserve, change, copies and restore
	Held     map[string][]Binding `json:"held,omitempty"`     // list and handover, by owner
	Members  map[string]Member    `json:"members,omitempty"`  // list and handover, by owner
	Count    int                  `json:"count,omitempty"`    // connections
	Refusal  *RefusalError        `json:"refusal,omitempty"`
	Error    string               `json:"error,omitempty"`

	Sandboxes []dns.Sandbox `json:"sandboxes,omitempty"` // names and handover, by id
	Records   []dns.Record  `json:"records,omitempty"`   // the same
	// Missing: there is no resolver for this id, and no sockets came for one.
	Missing bool `json:"missing,omitempty"`
}

// writeFrame sends one message: its length in four bytes, most significant
// first, then JSON.
func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("message of %d bytes is longer than %d", len(body), maxFrame)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(header[:])
	if n > maxFrame {
		return errors.New("message is too long")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}
