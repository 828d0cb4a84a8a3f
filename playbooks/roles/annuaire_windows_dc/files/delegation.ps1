# Le groupe réinitialise les mots de passe des utilisateurs de l'unité. Droits par leurs identifiants : leurs noms
# dépendent de la langue du système.
[CmdletBinding()]
param(
    [Parameter(Mandatory)][string]$Unite, [Parameter(Mandatory)][string]$Groupe,
    [Parameter(Mandatory)][pscredential]$Administrateur
)

$Ansible.Changed = $false
$reinitialiser = [guid]'00299570-246d-11d0-a768-00aa006e0529'  # droit étendu User-Force-Change-Password
$utilisateur = [guid]'bf967aba-0de6-11d0-a285-00aa003049e2'  # classe user
$qui = [Security.Principal.NTAccount]::new($Groupe).Translate([Security.Principal.SecurityIdentifier])
$objet = [DirectoryServices.DirectoryEntry]::new(
    "LDAP://localhost/$Unite", $Administrateur.UserName, $Administrateur.GetNetworkCredential().Password)
$objet.PSBase.Options.SecurityMasks = [DirectoryServices.SecurityMasks]::Dacl
$droits = $objet.PSBase.ObjectSecurity
$presents = $droits.GetAccessRules($true, $false, [Security.Principal.SecurityIdentifier])
if ($presents | Where-Object { $_.IdentityReference -eq $qui -and $_.ObjectType -eq $reinitialiser }) { return }
$droits.AddAccessRule([DirectoryServices.ActiveDirectoryAccessRule]::new(
        $qui, [DirectoryServices.ActiveDirectoryRights]::ExtendedRight, [Security.AccessControl.AccessControlType]::Allow,
        $reinitialiser, [DirectoryServices.ActiveDirectorySecurityInheritance]::Descendents, $utilisateur))
$objet.PSBase.CommitChanges()
$Ansible.Changed = $true
