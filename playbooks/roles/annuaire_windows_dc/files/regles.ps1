# Longueur, complexité et verrouillage, pour tout le domaine.
[CmdletBinding()]
param(
    [Parameter(Mandatory)][string]$Domaine, [Parameter(Mandatory)][pscredential]$Administrateur,
    [Parameter(Mandatory)][int]$Longueur, [Parameter(Mandatory)][int]$Essais, [Parameter(Mandatory)][int]$Minutes
)

$acces = @{ Server = 'localhost'; Credential = $Administrateur }
$duree = [timespan]::FromMinutes($Minutes)
$vues = Get-ADDefaultDomainPasswordPolicy -Identity $Domaine @acces
$Ansible.Changed = $vues.MinPasswordLength -ne $Longueur -or -not $vues.ComplexityEnabled -or
    $vues.LockoutThreshold -ne $Essais -or $vues.LockoutDuration -ne $duree -or $vues.LockoutObservationWindow -ne $duree
if ($Ansible.Changed) {
    # La fenêtre ne peut dépasser la durée : les deux ensemble.
    Set-ADDefaultDomainPasswordPolicy -Identity $Domaine @acces -MinPasswordLength $Longueur -ComplexityEnabled $true `
        -LockoutThreshold $Essais -LockoutDuration $duree -LockoutObservationWindow $duree
}
