# Opens a session for each account of the domain, as the logon screen does, and tells what it is; with `profile`, also
# what its personal folder is. `error` and `profile` are numbers of Windows (MS-ERREF 2.2), 0 when there was none.
# A member of the administrators whose rights are held back (UAC) has their SID in the token too, for refusals only.
$asked = ConvertFrom-Json @DATA@
if (-not ('Plateau.Sessions' -as [type])) {
    Add-Type -TypeDefinition @'
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Security.Principal;
using System.Text;

namespace Plateau
{
    public static class Sessions
    {
        const int Interactive = 2, Default = 0, NoMessages = 1;

        [StructLayout(LayoutKind.Sequential, CharSet = CharSet.Unicode)]
        struct Profile
        {
            public int Size;
            public int Flags;
            public string User;
            public string Path;
            public string DefaultPath;
            public string Server;
            public string Policy;
            public IntPtr Hive;
        }

        [DllImport("advapi32.dll", SetLastError = true, CharSet = CharSet.Unicode)]
        static extern bool LogonUserW(string user, string domain, string password, int type, int provider, out IntPtr token);

        [DllImport("userenv.dll", SetLastError = true, CharSet = CharSet.Unicode)]
        static extern bool LoadUserProfileW(IntPtr token, ref Profile profile);

        [DllImport("userenv.dll", SetLastError = true)]
        static extern bool UnloadUserProfile(IntPtr token, IntPtr hive);

        [DllImport("userenv.dll", SetLastError = true, CharSet = CharSet.Unicode)]
        static extern bool GetUserProfileDirectoryW(IntPtr token, StringBuilder path, ref int size);

        [DllImport("kernel32.dll", SetLastError = true)]
        static extern bool CloseHandle(IntPtr handle);

        // Each gives the error's number, then the handle.
        public static long[] Open(string domain, string user, string password)
        {
            IntPtr token;
            bool opened = LogonUserW(user, domain, password, Interactive, Default, out token);
            return opened ? new long[] { 0, token.ToInt64() } : new long[] { Marshal.GetLastWin32Error(), 0 };
        }

        public static long[] Load(IntPtr token, string user)
        {
            Profile profile = new Profile();
            profile.Size = Marshal.SizeOf(typeof(Profile));
            profile.Flags = NoMessages;
            profile.User = user;
            bool loaded = LoadUserProfileW(token, ref profile);
            return loaded ? new long[] { 0, profile.Hive.ToInt64() } : new long[] { Marshal.GetLastWin32Error(), 0 };
        }

        public static string Folder(IntPtr token)
        {
            int size = 1024;
            StringBuilder path = new StringBuilder(size);
            return GetUserProfileDirectoryW(token, path, ref size) ? path.ToString() : "";
        }

        public static string Write(IntPtr token, string path)
        {
            using (WindowsIdentity.Impersonate(token))
            {
                try
                {
                    File.WriteAllText(path, "essai");
                    File.Delete(path);
                    return "";
                }
                catch (Exception problem)
                {
                    return problem.GetType().Name;
                }
            }
        }

        public static void Unload(IntPtr token, IntPtr hive) { UnloadUserProfile(token, hive); }

        public static void Close(IntPtr token) { CloseHandle(token); }
    }
}
'@
}
foreach ($one in $asked.people) {
    $told = @{ error = 0; profile = 0; name = ''; sid = ''; administrator = $false; folder = ''; full = @(); written = '' }
    $opened = [Plateau.Sessions]::Open($asked.domain, $one.account, $one.password)
    $told.error = $opened[0]
    if ($opened[0] -eq 0) {
        $token = [IntPtr]$opened[1]
        try {
            $identity = New-Object Security.Principal.WindowsIdentity $token
            $told.name = $identity.Name
            $told.sid = $identity.User.Value
            $told.administrator = @($identity.Claims | Where-Object { $_.Value -eq 'S-1-5-32-544' }).Count -gt 0
            if ($asked.profile) {
                $loaded = [Plateau.Sessions]::Load($token, $one.account)
                $told.profile = $loaded[0]
                if ($loaded[0] -eq 0) {
                    try {
                        $told.folder = [Plateau.Sessions]::Folder($token)
                        $rules = (Get-Acl -LiteralPath $told.folder).GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])
                        $told.full = @($rules | Where-Object {
                            "$($_.AccessControlType)" -eq 'Allow' -and ([int]$_.FileSystemRights -band 0x1F01FF) -eq 0x1F01FF
                        } | ForEach-Object { $_.IdentityReference.Value })
                        $told.written = [Plateau.Sessions]::Write($token, (Join-Path $told.folder 'plateau-session.txt'))
                    } finally {
                        [Plateau.Sessions]::Unload($token, [IntPtr]$loaded[1])
                    }
                }
            }
        } finally {
            [Plateau.Sessions]::Close($token)
        }
    }
    New-Object PSObject -Property $told
}
