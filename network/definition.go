package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-engine/berth/kernel/file"
	"github.com/berth-engine/berth/network/ipam"
)

// definitionVersion is the layout of the files that this program writes.
const definitionVersion = 1

// Definition is what a network is, as it was asked for and with what was
// chosen. There is one file for each user-defined network; it is complete on
// disk before anything is made on the host, and gone after everything is.
type Definition struct {
	Version    int               `json:"version"`
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Created    time.Time         `json:"created"`
	Driver     string            `json:"driver"`
	IPv4       bool              `json:"ipv4"`
	IPv6       bool              `json:"ipv6"`
	Internal   bool              `json:"internal,omitempty"`
	Attachable bool              `json:"attachable,omitempty"`
	ConfigOnly bool              `json:"config_only,omitempty"`
	ConfigFrom string            `json:"config_from,omitempty"` // name of a network that is ConfigOnly
	Subnets    []ipam.Subnet     `json:"subnets,omitempty"`
	IPAMDriver string            `json:"ipam_driver,omitempty"` // "": default
	IPAMOpts   map[string]string `json:"ipam_options,omitempty"`
	Leases     []lease           `json:"leases,omitempty"` // of an IPAM plugin, one for each of Subnets
	Options    map[string]string `json:"options,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	// CNI is the configuration (a conflist) of a network of the driver cni.
	CNI json.RawMessage `json:"cni,omitempty"`
}

// definitions is the directory with the files.
type definitions string

func (d definitions) path(id string) string { return filepath.Join(string(d), id+".json") }

// load reads all files. One that cannot be read is reported and left alone.
func (d definitions) load(report func(path string, err error)) ([]Definition, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var out []Definition
	for _, e := range entries {
		path := filepath.Join(string(d), e.Name())
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			if err := os.Remove(path); err != nil { // half-written
				return nil, err
			}
			continue
		}
		def, err := readDefinition(path)
		if err == nil && def.ID != id {
			err = errors.New("it is another network's")
		}
		if err != nil {
			report(path, err)
			continue
		}
		out = append(out, *def)
	}
	return out, nil
}

func readDefinition(path string) (*Definition, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var d Definition
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	if d.Version != definitionVersion {
		return nil, fmt.Errorf("version %d is not one that this program knows (%d)", d.Version, definitionVersion)
	}
	if len(d.ID) != 64 || d.Name == "" || d.Driver == "" {
		return nil, errors.New("it is not complete")
	}
	return &d, nil
}

// save makes the definition durable.
func (d definitions) save(def *Definition) (err error) {
	data, err := json.Marshal(def)
	if err != nil {
		return err
	}
	path := d.path(def.ID)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return file.Sync(string(d))
}

func (d definitions) remove(id string) error {
	if err := os.Remove(d.path(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return file.Sync(string(d))
}

// subnets are those of one address family.
func (d *Definition) subnets(six bool) []ipam.Subnet {
	var out []ipam.Subnet
	for _, s := range d.Subnets {
		if s.Prefix.Addr().Is6() == six {
			out = append(out, s)
		}
	}
	return out
}

// home is the host's address in the first subnet of a family; zero: none.
func (d *Definition) home(six bool) netip.Prefix {
	for _, s := range d.subnets(six) {
		if s.Gateway.IsValid() {
			return netip.PrefixFrom(s.Gateway, s.Prefix.Bits())
		}
	}
	return netip.Prefix{}
}
