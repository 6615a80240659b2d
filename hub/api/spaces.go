package api

import (
	"time"

	"github.com/berth-engine/berth/hub/account"
)

// spaceRoutes are about a namespace: its profile, members, teams and robots.
var spaceRoutes = []route{
	{"GET ", func(c *call) (any, error) { return c.Accounts.Namespace(c.ctx(), c.at.Namespace) }},
	{"PUT ", setSpace},
	{"DELETE ", func(c *call) (any, error) { return nil, c.Accounts.DeleteOrganisation(c.ctx(), c.by, c.at.Namespace) }},
	{"GET audit", func(c *call) (any, error) { return c.audit(c.at.Namespace) }},
	{"GET members", func(c *call) (any, error) { return c.Accounts.Members(c.ctx(), c.by, c.at.Namespace) }},
	{"PUT members/*", setMember},
	{"DELETE members/*", func(c *call) (any, error) {
		return nil, c.Accounts.RemoveMember(c.ctx(), c.by, c.at.Namespace, c.args[0])
	}},
	{"GET teams", func(c *call) (any, error) { return c.Accounts.Teams(c.ctx(), c.by, c.at.Namespace) }},
	{"POST teams", createTeam},
	{"DELETE teams/*", func(c *call) (any, error) {
		return nil, c.Accounts.DeleteTeam(c.ctx(), c.by, c.at.Namespace, c.args[0])
	}},
	{"GET teams/*/members", func(c *call) (any, error) {
		return c.Accounts.TeamMembers(c.ctx(), c.by, c.at.Namespace, c.args[0])
	}},
	{"PUT teams/*/members/*", func(c *call) (any, error) {
		return nil, c.Accounts.AddTeamMember(c.ctx(), c.by, c.at.Namespace, c.args[0], c.args[1])
	}},
	{"DELETE teams/*/members/*", func(c *call) (any, error) {
		return nil, c.Accounts.RemoveTeamMember(c.ctx(), c.by, c.at.Namespace, c.args[0], c.args[1])
	}},
	{"GET robots", func(c *call) (any, error) { return c.Accounts.Robots(c.ctx(), c.by, c.at.Namespace) }},
	{"POST robots", createRobot},
	{"PUT robots/*", setRobot},
	{"POST robots/*/renew", renewRobot},
	{"DELETE robots/*", func(c *call) (any, error) {
		return nil, c.Accounts.DeleteRobot(c.ctx(), c.by, c.at.Namespace, c.args[0])
	}},
}

func setSpace(c *call) (any, error) {
	p, err := c.profile()
	if err != nil {
		return nil, err
	}
	if err := c.Accounts.SetOrganisationProfile(c.ctx(), c.by, c.at.Namespace, p); err != nil {
		return nil, err
	}
	return c.Accounts.Namespace(c.ctx(), c.at.Namespace)
}

func setMember(c *call) (any, error) {
	var m struct {
		Role string `json:"role"`
	}
	if err := c.read(&m); err != nil {
		return nil, err
	}
	return nil, c.Accounts.SetMember(c.ctx(), c.by, c.at.Namespace, c.args[0], m.Role)
}

func createTeam(c *call) (any, error) {
	var n struct {
		Name  string `json:"name"`
		About string `json:"about"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	return c.Accounts.CreateTeam(c.ctx(), c.by, c.at.Namespace, n.Name, n.About)
}

func createRobot(c *call) (any, error) {
	var n struct {
		Name    string    `json:"name"`
		About   string    `json:"about"`
		Expires time.Time `json:"expires"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	r, secret, err := c.Accounts.CreateRobot(c.ctx(), c.by, c.at.Namespace, account.NewRobot{Name: n.Name, About: n.About, Expires: n.Expires})
	return withSecret[account.Robot]{r, secret}, err
}

func setRobot(c *call) (any, error) {
	var n struct {
		Disabled bool `json:"disabled"`
	}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	return nil, c.Accounts.SetRobotDisabled(c.ctx(), c.by, c.at.Namespace, c.args[0], n.Disabled)
}

func renewRobot(c *call) (any, error) {
	secret, err := c.Accounts.RenewRobot(c.ctx(), c.by, c.at.Namespace, c.args[0])
	return map[string]string{"secret": secret}, err
}
