# Time zone (by its offsets in the middle of each month, beside those of the one that is wanted), full name, locale.
$wanted = [TimeZoneInfo]::FindSystemTimeZoneById(@DATA@)
$local = [TimeZoneInfo]::Local
$year = [DateTime]::UtcNow.Year
$moments = @(1..12 | ForEach-Object { New-Object DateTime $year, $_, 15, 12, 0, 0, ([DateTimeKind]::Utc) })
$names = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
New-Object PSObject -Property @{
    zone = $local.Id
    offsets = @($moments | ForEach-Object { [int]$local.GetUtcOffset($_).TotalMinutes })
    wanted = @($moments | ForEach-Object { [int]$wanted.GetUtcOffset($_).TotalMinutes })
    name = $names.HostName + '.' + $names.DomainName
    locale = (Get-WinSystemLocale).Name
}
