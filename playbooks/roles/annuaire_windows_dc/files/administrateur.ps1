# Le mot de passe du compte d'administrateur d'origine, qui devient celui du domaine. Rend le nom de ce compte, qui dépend
# de la langue du système.
[CmdletBinding()]
param([Parameter(Mandatory)][securestring]$MotDePasse)

# Le compte qui exécute ceci est de la machine, puis du domaine : celui d'origine aussi.
$sid = "$([Security.Principal.WindowsIdentity]::GetCurrent().User.AccountDomainSid)-500"
$nom = [Security.Principal.SecurityIdentifier]::new($sid).Translate([Security.Principal.NTAccount]).Value
$Ansible.Changed = (Get-CimInstance -ClassName Win32_ComputerSystem).DomainRole -lt 4  # 4 et 5 : contrôleurs
if ($Ansible.Changed) { Set-LocalUser -SID $sid -Password $MotDePasse }
$nom.Split('\')[-1]
