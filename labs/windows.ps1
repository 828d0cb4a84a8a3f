# First configuration of a Windows machine, run once by the guest agent, as the system, on a fresh clone of a template.
# @SETTINGS@ is put in by labs/windows.py; the lab's own script follows. Never run on a Windows.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$settings = ConvertFrom-Json @SETTINGS@
function Get-Secret([string]$text) { ConvertTo-SecureString -String $text -AsPlainText -Force }

# Cards: those of the lab have the names of their segments; the one that is left is the centre's, out of the DNS.
foreach ($card in $settings.cards) {
    $found = Get-NetAdapter | Where-Object { $_.MacAddress -eq $card.mac }
    if (-not $found) { throw "there is no card $($card.mac)" }
    if ($found.Name -ne $card.name) { Rename-NetAdapter -Name $found.Name -NewName $card.name }
}
$macs = @($settings.cards | ForEach-Object { $_.mac })
$centre = @(Get-NetAdapter | Where-Object { $macs -notcontains $_.MacAddress })
if ($centre.Count -ne 1) { throw "$($centre.Count) cards that are not the lab's, instead of one" }
if ($centre[0].Name -ne 'centre') { Rename-NetAdapter -Name $centre[0].Name -NewName 'centre' }
Set-DnsClient -InterfaceAlias centre -RegisterThisConnectionsAddress $false

# The candidate works as the built-in administrator, whose name depends on the language of the system.
$administrator = Get-LocalUser | Where-Object { $_.SID.Value -match '^S-1-5-21-.*-500$' }
$administrator | Set-LocalUser -Password (Get-Secret $settings.password)
$administrator | Enable-LocalUser
Set-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server' -Name fDenyTSConnections -Value 0
Enable-NetFirewallRule -Group '@FirewallAPI.dll,-28752'

# The grader's account, with its whole rights over the network.
if (Get-LocalUser | Where-Object { $_.Name -eq $settings.user }) {
    Set-LocalUser -Name $settings.user -Password (Get-Secret $settings.secret) -PasswordNeverExpires $true
} else {
    New-LocalUser -Name $settings.user -Password (Get-Secret $settings.secret) -PasswordNeverExpires | Out-Null
}
$sid = (Get-LocalUser -Name $settings.user).SID
if (-not (Get-LocalGroupMember -SID S-1-5-32-544 | Where-Object { $_.SID -eq $sid })) {
    Add-LocalGroupMember -SID S-1-5-32-544 -Member $sid
}
Set-ItemProperty -Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' `
    -Name LocalAccountTokenFilterPolicy -Value 1 -Type DWord

# WinRM over TLS, with a certificate of its own. The listener wants the name that the machine has now; it keeps it after.
Set-Service -Name WinRM -StartupType Automatic
Start-Service -Name WinRM
if (-not (Get-ChildItem WSMan:\localhost\Listener | Where-Object { $_.Keys -contains 'Transport=HTTPS' })) {
    $certificate = New-SelfSignedCertificate -DnsName $env:COMPUTERNAME, $settings.name -NotAfter (Get-Date).AddYears(10) `
        -CertStoreLocation Cert:\LocalMachine\My
    $listener = @{ Hostname = $env:COMPUTERNAME; CertificateThumbprint = $certificate.Thumbprint; Port = $settings.port }
    New-WSManInstance -ResourceURI winrm/config/Listener -SelectorSet @{ Address = '*'; Transport = 'HTTPS' } `
        -ValueSet $listener | Out-Null
}
if (-not (Get-NetFirewallRule | Where-Object { $_.Name -eq 'plateau-winrm' })) {
    New-NetFirewallRule -Name plateau-winrm -DisplayName 'Plateau (WinRM)' -Direction Inbound -Protocol TCP `
        -LocalPort $settings.port -Action Allow | Out-Null
}
if ($env:COMPUTERNAME -ne $settings.name) {
    Rename-Computer -NewName $settings.name -Force -WarningAction SilentlyContinue
}
