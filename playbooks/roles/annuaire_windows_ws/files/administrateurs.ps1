# Le groupe est administrateur du poste. Le groupe local par son identifiant : son nom dépend de la langue du système.
[CmdletBinding()]
param([Parameter(Mandatory)][string]$Groupe)

$qui = [Security.Principal.NTAccount]::new($Groupe).Translate([Security.Principal.SecurityIdentifier])
$Ansible.Changed = -not (Get-LocalGroupMember -SID S-1-5-32-544 | Where-Object { $_.SID -eq $qui })
if ($Ansible.Changed) { Add-LocalGroupMember -SID S-1-5-32-544 -Member $qui }
