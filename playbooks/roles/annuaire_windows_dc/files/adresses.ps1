# Le serveur DNS n'écoute que sur le réseau de l'agence, et seule cette adresse est celle du contrôleur.
[CmdletBinding()]
param([Parameter(Mandatory)][string]$Domaine, [Parameter(Mandatory)][string]$Adresse)

$Ansible.Changed = $false
# Celles du domaine lui-même (« @ », gc._msdcs) : Netlogon y mettrait aussi l'adresse de la carte du centre.
$netlogon = 'HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters'
$ecartes = @('LdapIpAddress', 'GcIpAddress')
if ("$((Get-Item -Path $netlogon).GetValue('DnsAvoidRegisterRecords'))" -ne "$ecartes") {
    Set-ItemProperty -Path $netlogon -Name DnsAvoidRegisterRecords -Type MultiString -Value $ecartes
    $Ansible.Changed = $true
}
$reglages = Get-DnsServerSetting -All -WarningAction SilentlyContinue
if ("$($reglages.ListeningIPAddress)" -ne $Adresse) {
    $reglages.ListeningIPAddress = @($Adresse)
    Set-DnsServerSetting -InputObject $reglages -WarningAction SilentlyContinue
    Restart-Service -Name DNS
    $Ansible.Changed = $true
}
$noms = @(@{ Zone = $Domaine; Nom = 'dc' }, @{ Zone = $Domaine; Nom = '@' }, @{ Zone = "_msdcs.$Domaine"; Nom = 'gc' })
foreach ($un in $noms) {
    $vus = @(Get-DnsServerResourceRecord -ZoneName $un.Zone -Name $un.Nom -RRType A -ErrorAction SilentlyContinue |
        Where-Object { $_.HostName -eq $un.Nom })
    foreach ($autre in ($vus | Where-Object { "$($_.RecordData.IPv4Address)" -ne $Adresse })) {
        Remove-DnsServerResourceRecord -ZoneName $un.Zone -InputObject $autre -Force
        $Ansible.Changed = $true
    }
    if (-not ($vus | Where-Object { "$($_.RecordData.IPv4Address)" -eq $Adresse })) {
        $voulu = @{ ZoneName = $un.Zone; Name = $un.Nom; IPv4Address = $Adresse }
        Add-DnsServerResourceRecordA @voulu
        $Ansible.Changed = $true
    }
}
