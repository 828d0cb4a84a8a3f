# Un certificat auto-signé au nom du contrôleur, auquel il se fie lui-même : sans quoi l'annuaire ne le prend pas.
[CmdletBinding()]
param([Parameter(Mandatory)][string]$Nom)

$Ansible.Changed = $false
if (Get-ChildItem -Path Cert:\LocalMachine\My | Where-Object { $_.Subject -eq "CN=$Nom" }) { return }
$certificat = New-SelfSignedCertificate -Subject "CN=$Nom" -DnsName $Nom -CertStoreLocation Cert:\LocalMachine\My `
    -KeyAlgorithm RSA -KeyLength 2048 -KeySpec KeyExchange -Provider 'Microsoft RSA SChannel Cryptographic Provider' `
    -NotAfter (Get-Date).AddYears(10) -TextExtension '2.5.29.37={text}1.3.6.1.5.5.7.3.1'
$racines = [Security.Cryptography.X509Certificates.X509Store]::new('Root', 'LocalMachine')
$racines.Open('ReadWrite')
$racines.Add($certificat)
$racines.Close()
$Ansible.Changed = $true
