package site

import (
	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/status"
)

type membersBody struct {
	Space   spaceBody
	Members []account.Member
	Problem string
}

func (v *visit) members() error { return v.showMembers("") }

func (v *visit) showMembers(problem string) error {
	space, err := v.namespace()
	if err != nil {
		return err
	}
	list, err := v.Accounts.Members(v.ctx(), v.by, space.Name)
	if err != nil {
		return err
	}
	return v.show("members", space.page("members", membersBody{space, list, problem}))
}

// spacePath is the address of a page of the namespace at hand.
func (v *visit) spacePath(page string) string { return "/u/" + v.r.PathValue("space") + "/-/" + page }

func (v *visit) setMember() error {
	user := v.r.PostFormValue("user")
	if err := v.Accounts.SetMember(v.ctx(), v.by, v.r.PathValue("space"), user, v.r.PostFormValue("role")); err != nil {
		return v.orNotFound(err, "There is no user "+user+" here.", v.showMembers)
	}
	return v.done(v.spacePath("members"), user+" is a member.")
}

// orNotFound is again, for forms in which a name may not exist: the form then
// says so, provided that its page exists for who asks.
func (v *visit) orNotFound(err error, missing string, show func(string) error) error {
	if status.Of(err) == 404 {
		return show(missing)
	}
	return v.again(err, show)
}

func (v *visit) removeMember() error {
	user := v.r.PathValue("user")
	if err := v.Accounts.RemoveMember(v.ctx(), v.by, v.r.PathValue("space"), user); err != nil {
		return v.again(err, v.showMembers)
	}
	if user == v.by.Name {
		return v.done("/u/"+v.r.PathValue("space"), "You are no longer a member.")
	}
	return v.done(v.spacePath("members"), user+" is no longer a member.")
}

type teamsBody struct {
	Space   spaceBody
	Teams   []account.Team
	Problem string
}

func (v *visit) teams() error { return v.showTeams("") }

func (v *visit) showTeams(problem string) error {
	space, err := v.namespace()
	if err != nil {
		return err
	}
	list, err := v.Accounts.Teams(v.ctx(), v.by, space.Name)
	if err != nil {
		return err
	}
	return v.show("teams", space.page("teams", teamsBody{space, list, problem}))
}

func (v *visit) createTeam() error {
	team, err := v.Accounts.CreateTeam(v.ctx(), v.by, v.r.PathValue("space"), v.r.PostFormValue("name"), v.r.PostFormValue("about"))
	if err != nil {
		return v.again(err, v.showTeams)
	}
	return v.done(v.spacePath("teams/"+team.Name), "The team is made.")
}

type teamBody struct {
	Space         spaceBody
	Team, Problem string
	Users         []string
}

func (v *visit) team() error { return v.showTeam("") }

func (v *visit) showTeam(problem string) error {
	space, err := v.namespace()
	if err != nil {
		return err
	}
	name := v.r.PathValue("team")
	users, err := v.Accounts.TeamMembers(v.ctx(), v.by, space.Name, name)
	if err != nil {
		return err
	}
	return v.show("team", space.page("teams", teamBody{space, name, problem, users}))
}

func (v *visit) addToTeam() error {
	team, user := v.r.PathValue("team"), v.r.PostFormValue("user")
	if err := v.Accounts.AddTeamMember(v.ctx(), v.by, v.r.PathValue("space"), team, user); err != nil {
		return v.orNotFound(err, user+" is no member of this organisation.", v.showTeam)
	}
	return v.done(v.spacePath("teams/"+team), user+" is in the team.")
}

func (v *visit) removeFromTeam() error {
	team, user := v.r.PathValue("team"), v.r.PathValue("user")
	if err := v.Accounts.RemoveTeamMember(v.ctx(), v.by, v.r.PathValue("space"), team, user); err != nil {
		return v.again(err, v.showTeam)
	}
	return v.done(v.spacePath("teams/"+team), user+" is no longer in the team.")
}

func (v *visit) deleteTeam() error {
	if err := v.Accounts.DeleteTeam(v.ctx(), v.by, v.r.PathValue("space"), v.r.PathValue("team")); err != nil {
		return v.again(err, v.showTeam)
	}
	return v.done(v.spacePath("teams"), "The team is removed.")
}
